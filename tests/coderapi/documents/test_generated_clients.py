"""Generated clients work, and linters find nothing in the OpenAPI documents.

The client that openapi-python-client generates is called by operation id.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from importlib import import_module
from pathlib import Path
from typing import Any, Self

import pytest

from coderapi.openapi.document import openapi
from kernel.http.wire import WireFormat
from tests.support.api.schema_validation import Schema, resolved, validator_of
from tests.support.commands import execute
from tests.support.processes import PROJECT, wait_for
from tests.support.servers.live import EMAIL, OWNER, PASSWORD, Server, obeying
from tokens.policy.resolution import LIMITS

DOCUMENTS = {
    WireFormat.DOCUMENTED: "docs/openapi.yml",
    WireFormat.CODERD: "docs/openapi-coderd.yml",
}


def generate(wire: WireFormat, directory: Path) -> str:
    """Generates the client into the directory. Returns the name of its package."""
    name = f"{wire.value}_client"
    subprocess.run(
        [
            *(sys.executable, "-m", "openapi_python_client", "generate", "--fail-on-warning"),
            *("--path", str(PROJECT / DOCUMENTS[wire]), "--meta", "none"),
            *("--output-path", str(directory / name)),
        ],
        # It formats the client with ruff, which is installed beside this Python.
        env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        check=True,
        stdout=subprocess.DEVNULL,
    )
    return name


class GeneratedClient:
    """Calls operations by their id, with bodies from the examples of the document."""

    def __init__(self, package: str, wire: WireFormat, *, url: str, token: str) -> None:
        self.operations = {
            operation["operationId"]: operation
            for item in openapi(wire)["paths"].values()
            for operation in item.values()
        }
        self.called: set[str] = set()
        self._package, self._wire = package, wire
        made = import_module(f"{package}.models")
        self._models = {name.lower(): getattr(made, name) for name in made.__all__}
        self._caller = import_module(f"{package}.client").AuthenticatedClient(
            base_url=url,
            token=token,
            prefix="",
            auth_header_name="Coder-Session-Token",
            headers={"Coderapi-Wire-Format": wire.value},
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._caller.get_httpx_client().close()

    def call(self, name: str, /, *, body: Any = None, **arguments: str) -> Any:
        """Calls an operation that must succeed, and returns the parsed answer."""
        answer = self.answer(name, body=body, **arguments)
        promised = {int(code) for code in self.operations[name]["responses"] if code < "300"}
        assert answer.status_code in promised, f"{name}: {answer.status_code} {answer.content!r}"
        assert (answer.parsed is not None) == (answer.status_code != HTTPStatus.NO_CONTENT), name
        return answer.parsed

    def answer(self, name: str, /, *, body: Any = None, **arguments: str) -> Any:
        self.called.add(name)
        operation = self.operations[name]
        tag, module = operation["tags"][0].lower().replace(" ", "_"), name.replace("-", "_")
        endpoint = import_module(f"{self._package}.api.{tag}.{module}")
        more = {"body": self._body(name, body)} if "requestBody" in operation else {}
        return endpoint.sync_detailed(**arguments, client=self._caller, **more)

    def examples(self, name: str) -> list[Any]:
        """Returns the examples of the operation's body."""
        return self._examples(_body_schema(self.operations[name]))

    def _examples(self, schema: Schema) -> list[Any]:
        found = resolved(schema, wire=self._wire)
        if "examples" in found:
            return list(found["examples"])
        if "items" in found:
            return [self._examples(found["items"])]
        return [each for option in found["oneOf"] for each in self._examples(option)]

    def _body(self, name: str, value: Any) -> Any:
        given = self.examples(name)[0] if value is None else value
        return self._model(_body_schema(self.operations[name]), given)

    def _model(self, schema: Schema, value: Any) -> Any:
        """Returns the value as an instance of a generated class, as the client expects."""
        found = resolved(schema, wire=self._wire)
        for option in [*found.get("anyOf", []), *found.get("oneOf", [])]:
            if validator_of(option, wire=self._wire).is_valid(value):
                return self._model(option, value)
        if isinstance(value, list):
            return [self._model(found["items"], item) for item in value]
        if isinstance(value, Mapping):
            name = re.sub(r"\W|_", "", schema["$ref"].rpartition("/")[2])
            return self._models[name.lower()].from_dict(value)
        return value


def _body_schema(operation: Schema) -> Schema:
    found: Schema = operation["requestBody"]["content"]["application/json"]["schema"]
    return found


# Operations that others need run first, and those that remove something run last. The document's
# example creates the user `ada`. The cookie of a sign-in overrides the header until sign-out.
FIRST = (
    *("create-new-user", "log-in-user", "log-out-user", "create-token-api-key"),
    *("report-csp-violations", "list-csp-violation-groups"),
)
LAST = (
    *("expire-api-key", "delete-api-key", "suspend-user-account", "activate-user-account"),
    *("update-user-password", "delete-user"),
)
NOT_TWICE = "create-initial-user"
# The required parameters in the query.
QUERIES: dict[str, dict[str, Any]] = {
    "get-csp-gate": {"old_version": "1.0", "new_version": "1.1", "allow_unseen": True}
}
SAFE = ["minimum-implicit-member"]
# Programs for Node.js that read the OpenAPI documents. package-lock.json pins them.
NODE = PROJECT / "tests" / "node"
needs_node = pytest.mark.skipif(
    not (shutil.which("node") and (NODE / "node_modules").is_dir())
    and os.environ.get("CI_REQUIRES_NODE") != "1",
    reason="Node.js is not installed, or `npm ci --prefix tests/node` was not run",
)
ON_ADA = {"assign-role-to-user", "delete-user", "update-user-password"} | {
    f"{verb}-user-account" for verb in ("activate", "suspend")
}


@pytest.fixture(scope="module", params=list(WireFormat))
def wire(request: pytest.FixtureRequest) -> WireFormat:
    found: WireFormat = request.param
    return found


@pytest.fixture(scope="module")
def service(wire: WireFormat) -> Iterator[Server]:
    """Starts a service with the other wire format. The clients choose theirs by the header."""
    [other] = set(WireFormat) - {wire}
    options = {
        "CODERAPI_WIRE_FORMAT": other.value,
        "CODER_SWAGGER_ENABLE": "true",
        "CODER_PROMETHEUS_ENABLE": str(wire is WireFormat.CODERD).lower(),
        "CODER_PROMETHEUS_ADDRESS": "127.0.0.1:0",
    }
    with obeying(**options) as server:
        yield server


@pytest.fixture
def url(service: Server) -> str:
    return f"http://127.0.0.1:{service.port}"


@pytest.fixture(scope="module")
def package(wire: WireFormat, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    directory = tmp_path_factory.mktemp("generated")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(directory)
        yield generate(wire, directory)


@pytest.fixture
def client(wire: WireFormat, url: str, service: Server, package: str) -> Iterator[GeneratedClient]:
    with GeneratedClient(package, wire, url=url, token=service.owner_token) as found:
        yield found


def test_python_client_calls_every_operation(client: GeneratedClient, wire: WireFormat) -> None:
    key_id = group = ""
    wait_for(lambda: client.answer("get-deployment-stats").status_code == 200)
    for name in (*FIRST, *sorted(client.operations.keys() - {*FIRST, *LAST, NOT_TWICE}), *LAST):
        path = _path(client.operations[name], key_id=key_id, group=group)
        found = client.call(name, **path, **QUERIES.get(name, {}))
        key_id = found.key[:10] if name == "create-token-api-key" else key_id
        group = found.groups[0].id if name == "list-csp-violation-groups" else group
    assert client.answer(NOT_TWICE).status_code == 409
    assert client.called == client.operations.keys()


def _path(operation: dict[str, Any], *, key_id: str, group: str) -> dict[str, str]:
    """Returns the path arguments: the document's examples, with this user, key and group."""
    named = {
        parameter["name"]: parameter["example"]
        for parameter in operation["parameters"]
        if parameter.get("in") == "path"
    }
    user = "ada" if operation["operationId"] in ON_ADA else "me"
    known = {"user": user, "key_id": key_id, "group": group}
    return named | {name: value for name, value in known.items() if name in named}


def test_python_client_parses_answers(client: GeneratedClient, wire: WireFormat) -> None:
    stats = wait_for(lambda: client.answer("get-deployment-stats").parsed)
    me = client.call("get-user-by-name", user="me")
    checks = {"mine": {"object": {"resource_type": "user", "owner_id": "me"}, "action": "read"}}
    refused = client.answer("get-user-by-name", user="nobody")
    config = client.call("get-deployment-config").config
    assert client.call("build-info").version.startswith("v")
    assert (me.username, [role.name for role in me.roles]) == (OWNER, ["owner"])
    assert stats.workspaces.connection_latency_ms.p50 == -1
    assert stats.collected_at > stats.aggregated_from
    assert client.call("check-authorization", body={"checks": checks})["mine"] is True
    assert refused.status_code == 400
    assert "must be an existing" in refused.parsed.message
    access_url = config.access_url.scheme if wire is WireFormat.DOCUMENTED else config.access_url
    assert access_url.startswith("http")


def test_python_client_sends_each_form_of_a_csp_report(client: GeneratedClient) -> None:
    forms = client.examples("report-csp-violations")
    assert [type(form) for form in forms] == [dict, list]
    for form in (*forms, forms[1][0]):
        assert client.call("report-csp-violations", body=form) == "ok"


def run_program(*command: str | Path, directory: Path = NODE) -> str:
    """Runs a program of these packages, or Node. Returns its output, and fails with its status."""
    found = NODE / "node_modules" / ".bin" / command[0]
    done = execute(
        [found if found.exists() else command[0], *command[1:]],
        cwd=directory,
        env=os.environ | {"REDOCLY_TELEMETRY": "off", "REDOCLY_SUPPRESS_UPDATE_NOTICE": "true"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@needs_node
def test_typescript_client_runs(wire: WireFormat, url: str, tmp_path: Path) -> None:
    for name in ("client.ts", "tsconfig.json", "package.json"):
        shutil.copy(NODE / name, tmp_path)
    (tmp_path / "node_modules").symlink_to(NODE / "node_modules")
    document = PROJECT / DOCUMENTS[wire]
    run_program("openapi-typescript", document, "--output", tmp_path / "api.ts", directory=tmp_path)
    run_program("tsc", "--project", tmp_path, directory=tmp_path)
    printed = run_program("node", "client.js", url, wire.value, EMAIL, PASSWORD, directory=tmp_path)
    found = json.loads(printed)
    assert found.pop("version").startswith("v")
    assert found.pop("options") > 100
    assert "typescript" in found.pop("names")
    assert "must be an existing" in found.pop("refused")
    safe = SAFE if wire is WireFormat.DOCUMENTED else {"safe": SAFE}
    mine = {"password": True, "username": OWNER, "roles": ["owner"], "count": 1, "mine": True}
    made = {"limits": list(LIMITS), "reported": ["ok"] * 3, "deleted": 204}
    assert found == {**mine, **made, "experiments": [], "safe": safe}


@needs_node
@pytest.mark.parametrize("document", DOCUMENTS.values())
def test_linters_find_nothing(document: str) -> None:
    path = PROJECT / document
    assert "Your API description is valid" in run_program("redocly", "lint", path)
    assert "No results" in run_program("spectral", "lint", "--fail-severity=hint", path)


def test_swagger_works_with_and_without_metrics(service: Server) -> None:
    page = service.ask("/swagger")
    assert (page.status, b"swagger-ui" in page.body) == (200, True)
    assert service.ask("/swagger?script").status == 200
    assert service.ask("/swagger/openapi.json").json["paths"]
