"""The OpenAPI documents are complete and current, and use the names of the reference page."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.contrib.staticfiles import finders
from django.urls import URLPattern, URLResolver, get_resolver
from django.utils import timezone
from drf_spectacular.drainage import GENERATOR_STATS, reset_generator_stats

from bin.generated import DOCUMENTS, differences
from coderapi.openapi.document import openapi
from csp.schema import INGEST_KEY
from kernel.http.wire import WireFormat
from options.catalogue import CATALOGUE
from options.option_formats import CONFIG_FORMATS
from options.schema import components
from stats.services import collect_snapshot
from tests.support.api.client import APIClient
from tests.support.api.paths import API, OWN_API
from tests.support.api.schema_validation import document, generated, resolved, validator_of

METHODS = {"get", "post", "put", "patch", "delete"}

PUBLIC = {
    *("api-root-handler", "build-info", "update-check", "check-initial-user-created"),
    *("create-initial-user", "log-in-user", "get-authentication-methods"),
}


both_wires = pytest.mark.parametrize("wire", list(WireFormat))


def operations(wire: WireFormat) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in document(wire)["paths"].items():
        for method in METHODS & item.keys():
            yield method, path, item[method]


def routes(patterns: Any, prefix: str = "") -> Iterator[str]:
    for pattern in patterns:
        here = prefix + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from routes(pattern.url_patterns, here)
        elif isinstance(pattern, URLPattern):
            yield re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", f"/{here}")


@both_wires
def test_every_route_of_the_api_is_described(wire: WireFormat) -> None:
    served = {path for path in routes(get_resolver().url_patterns) if path.startswith("/api/")}
    assert served - {API} == set(document(wire)["paths"])


@both_wires
def test_every_operation_is_complete(wire: WireFormat) -> None:
    ids = [operation["operationId"] for _, _, operation in operations(wire)]
    assert len(ids) == len(set(ids))
    defined = {tag["name"] for tag in generated(wire)["tags"]}
    assert {tag for _, _, operation in operations(wire) for tag in operation["tags"]} == defined
    for method, path, operation in operations(wire):
        name = f"{method} {path}"
        body = operation.get("requestBody", {"content": ["application/json"]})
        assert list(body["content"]) == ["application/json"], name
        assert operation["summary"], name
        assert operation["description"] not in {"", operation["summary"]}, name
        assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", operation["operationId"]), name
        good = {code: answer for code, answer in operation["responses"].items() if code < "300"}
        assert good, name
        for code, answer in good.items():
            assert code == "204" or answer["content"]["application/json"]["schema"], name
            assert "X-Coder-Request-Id" in answer["headers"], name


@both_wires
def test_every_operation_names_its_errors_which_have_one_shape(wire: WireFormat) -> None:
    for method, path, operation in operations(wire):
        expected = {"400", "429", "503"}
        if operation["operationId"] not in PUBLIC:
            expected |= {"401"}
        if "requestBody" in operation:
            expected |= {"408", "413"}
        if method != "get" and operation["operationId"] != "check-authorization":
            expected |= {"504"}
        if "{" in path:
            expected |= {"404"}
        assert expected <= operation["responses"].keys(), f"{method} {path}"
        for code, answer in operation["responses"].items():
            if code >= "400":
                content = resolved(answer, wire=wire)["content"]["application/json"]
                assert content["schema"] == {"$ref": "#/components/schemas/codersdk.Response"}


@both_wires
def test_operation_takes_a_token_in_each_way_unless_it_is_public(wire: WireFormat) -> None:
    schemes = document(wire)["components"]["securitySchemes"]
    carried = {
        (scheme["type"], scheme.get("in"), scheme.get("name")) for scheme in schemes.values()
    }
    assert carried == {
        ("apiKey", "header", "Coder-Session-Token"),
        ("apiKey", "cookie", "coder_session_token"),
        ("apiKey", "query", "coder_session_token"),
        ("http", None, None),
        ("apiKey", "query", "key"),
    }
    for method, path, operation in operations(wire):
        needs_none = operation["operationId"] in PUBLIC
        offered = {name for way in operation["security"] for name in way}
        takes = set(schemes) - ({INGEST_KEY} if path != f"{API}/csp/reports" else set())
        assert offered == (set() if needs_none else takes), f"{method} {path}"


@both_wires
def test_a_document_allows_only_its_own_wire_format(wire: WireFormat) -> None:
    header = document(wire)["components"]["parameters"]["Coderapi-Wire-Format"]
    assert resolved(header["schema"], wire=wire)["enum"] == [wire.value]
    assert str(document(wire)["paths"]).count("Coderapi-Wire-Format") == len([*operations(wire)])
    # In the coderd wire alone, reports need no token.
    asked = document(wire)["paths"][f"{API}/csp/reports"]["post"]["security"]
    assert ({} in asked) is (wire is WireFormat.CODERD)


def is_own(path: str) -> bool:
    return path.startswith(f"{OWN_API}/")


@both_wires
def test_our_operations_have_a_stability_and_a_chapter_of_their_own(wire: WireFormat) -> None:
    chapters = generated(wire)["x-tagGroups"]
    tags: list[set[str]] = [set(), set()]
    for _, path, operation in operations(wire):
        tags[is_own(path)] |= set(operation["tags"])
        wanted = {"stable", "experimental"} if is_own(path) else {None}
        assert operation.get("x-stability") in wanted, path
    assert [set(each["tags"]) for each in chapters] == tags
    paths = [is_own(path) for path in document(wire)["paths"]]
    assert paths == sorted(paths)


def path_of(path: str, operation: dict[str, Any]) -> str:
    """Returns the path with the examples of its parameters."""
    named = [each for each in operation["parameters"] if "example" in each]
    return path.format(**{each["name"]: each["example"] for each in named})


@pytest.mark.django_db
def test_only_operations_of_ours_reject_unknown_parameters(owner: APIClient) -> None:
    rejecting = set()
    for method, path, operation in operations(WireFormat.DOCUMENTED):
        ours = operation["description"].endswith("Unknown query parameters are rejected.")
        if not ours and method != "get":
            continue
        answer = owner.generic(method.upper(), f"{path_of(path, operation)}?sitez=1")
        problems = answer.json().get("validations", []) if isinstance(answer.json(), dict) else []
        assert [each["field"] for each in problems] == (["sitez"] if ours else []), path
        rejecting |= {path} if ours else set()
    assert rejecting == {path for _, path, _ in operations(WireFormat.DOCUMENTED) if is_own(path)}


def bodies(schema: dict[str, Any]) -> list[dict[str, Any]]:
    """Returns the examples of a request's body, or of its items."""
    found = resolved(schema, wire=WireFormat.DOCUMENTED)
    options = found.get("oneOf", [found.get("items")])
    return found.get("examples") or [body for each in options for body in bodies(each)]


@pytest.mark.django_db
def test_only_operations_of_ours_reject_unknown_members(owner: APIClient) -> None:
    rejecting, ours = set(), set()
    # Those of ours come first, because some of Coder's end the session.
    for method, path, operation in sorted(
        operations(WireFormat.DOCUMENTED), key=lambda each: each[1]
    ):
        if "requestBody" not in operation or path.endswith("/csp/reports"):
            continue
        for body in bodies(operation["requestBody"]["content"]["application/json"]["schema"]):
            sent = json.dumps(body | {"notez": None})
            answer = owner.generic(
                method.upper(), path_of(path, operation), sent, "application/json"
            )
            problems = answer.json().get("validations", []) if answer.content else []
            row = "1." if "kind" in body else ""
            assert [each["field"] for each in problems] == ([f"{row}notez"] if is_own(path) else [])
            rejecting |= {path} if problems else set()
        ours |= {path} if is_own(path) else set()
    assert rejecting == ours != set()


@pytest.mark.django_db
def test_an_optional_parameter_that_is_empty_counts_as_absent(
    owner: APIClient,
) -> None:
    collect_snapshot(timezone.now())
    found = 0
    for method, path, operation in operations(WireFormat.DOCUMENTED):
        queried = [each for each in operation["parameters"] if each.get("in") == "query"]
        if method != "get" or any(each.get("required") for each in queried):
            continue
        for each in queried:
            assert each["allowEmptyValue"], f"{path}: {each['name']}"
            url = f"{path.format(user='me', organization='coder')}?{each['name']}="
            assert owner.get(url).status_code == 200, url
            found += 1
    assert found > 20


@both_wires
def test_every_example_follows_its_schema(wire: WireFormat) -> None:
    found = 0
    for path, node in nodes(document(wire)):
        schema = node.get("schema", node)
        examples = [*_listed(node), *([node["example"]] if "example" in node else [])]
        for example in examples:
            validator_of(schema, wire=wire).validate(example)
        found += len(examples)
        assert isinstance(node.get("examples", {}), dict | list), path
    assert found > 100


def _listed(node: dict[str, Any]) -> list[Any]:
    """Returns the examples of a schema, which are a list, or of a body, which have names."""
    examples = node.get("examples", [])
    if isinstance(examples, list):
        return examples
    return [example["value"] for example in examples.values() if "value" in example]


@both_wires
def test_every_object_of_ours_has_an_example(wire: WireFormat) -> None:
    by_the_catalogue = components(wire).keys() - {"serpent.Option"}
    without = {"codersdk.DeploymentConfig", "codersdk.DeploymentValues"}
    for name, schema in document(wire)["components"]["schemas"].items():
        if schema.get("type") == "object" and name not in {*by_the_catalogue, *without}:
            assert schema.get("examples"), f"{name} has no example"


@both_wires
def test_everything_is_described_in_sentences(wire: WireFormat) -> None:
    for path, node in nodes(generated(wire)):
        above = path[-2] if len(path) > 1 else ""
        described = above in {"properties", "parameters", "headers", "responses", "tags"}
        described |= path[:-1] == ("components", "schemas") or "operationId" in node
        if described and node.keys() != {"$ref"}:
            text = node.get("description", "")
            assert re.match("[A-Z`0-9]", text), f"{path} is not described: {text!r}"
            assert text.endswith(".") or above == "responses", f"{path}: {text!r}"


def nodes(node: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yields each inner object with the path to it. Skips examples."""
    if isinstance(node, dict):
        yield path, node
    items = node.items() if isinstance(node, dict) else enumerate(node)
    for key, item in items:
        if isinstance(item, dict | list) and key not in {"example", "examples", "default", "enum"}:
            yield from nodes(item, (*path, str(key)))


@both_wires
def test_old_members_are_marked_as_deprecated(wire: WireFormat) -> None:
    schemas = document(wire)["components"]["schemas"]

    def old(name: str) -> set[str]:
        return {key for key, node in schemas[name]["properties"].items() if node.get("deprecated")}

    assert old("codersdk.CreateTokenRequest") == old("codersdk.APIKey") == {"scope"}
    assert {"address", "verbose"} <= old("codersdk.DeploymentValues")


@both_wires
def test_document_is_valid_openapi_and_generated_without_a_warning(wire: WireFormat) -> None:
    # Importing it takes long.
    import schemathesis

    schemathesis.openapi.from_dict(generated(wire)).validate()
    reset_generator_stats()
    openapi(wire)
    assert not GENERATOR_STATS, "see the warnings of drf-spectacular on stderr"


@both_wires
def test_configuration_is_described_leaf_by_leaf_in_the_form_of_the_wire(wire: WireFormat) -> None:
    described = document(wire)["components"]["schemas"]["codersdk.DeploymentValues"]
    for option in filter(CONFIG_FORMATS[wire.value].has, CATALOGUE):
        node = described
        for key in option.json_path.split("."):
            members = {name.lower(): member for name, member in node["properties"].items()}
            node = members[key.lower()]
        assert node["description"], option.name
    documented = {"$ref": "#/components/schemas/serpent.URL"}
    url = {WireFormat.DOCUMENTED: documented, WireFormat.CODERD: {"type": "string"}}[wire]
    assert described["properties"]["access_url"].items() >= url.items()


def test_committed_documents_are_current() -> None:
    assert list(differences(settings.BASE_DIR)) == []


@pytest.mark.slow
def test_a_changed_document_is_shown_and_written_again(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    assert len(list(differences(tmp_path, write=True))) == len(DOCUMENTS)
    changed = tmp_path / "docs" / "openapi.yml"
    text = changed.read_text()
    changed.write_text(text.replace("summary: Build info", "summary: Old"))
    (difference,) = differences(tmp_path, write=True)
    assert "-      summary: Old" in difference
    assert changed.read_text() == text


@pytest.mark.django_db
def test_swagger_shows_the_document_under_a_strict_policy(
    settings: Any, anonymous: APIClient
) -> None:
    settings.SWAGGER_ENABLE = True
    page = anonymous.get("/swagger")
    text, policy = page.content.decode(), page.headers["Content-Security-Policy"]
    assert (page.status_code, "unsafe" in policy, "<style" in text) == (200, False, False)
    assert re.findall(r"<script(?! src=)", text) == []
    for source in re.findall(r'(?:src|href)="([^"]+)"', text):
        assert source.startswith("/"), "every file is our own"
        # The settings of the test's server exclude Swagger's files, so it does not serve them.
        static = source.removeprefix(settings.STATIC_URL)
        if static != source:
            assert finders.find(static), source
            continue
        with closing(anonymous.get(source.replace("&amp;", "&"))) as file:
            assert file.status_code == 200, source


@both_wires
def test_swagger_serves_the_document_of_the_wire(
    wire: WireFormat, settings: Any, anonymous: APIClient
) -> None:
    settings.SWAGGER_ENABLE = True
    answer = anonymous.get("/swagger/openapi.json", headers={"Coderapi-Wire-Format": wire.value})
    assert answer.json()["paths"] == generated(wire)["paths"]
