"""The configuration of a Coder deployment, served in both wires instead of our own."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from operator import itemgetter
from typing import Any

import pytest
from django.apps import apps
from django.test import Client

from beside import coder_release
from beside.configuration import documents, translation
from beside.configuration.documents import DOCUMENTS
from beside.identity import CoderIdentity
from deployment.models import ConfigRevision
from kernel import memory
from kernel.coder import running as running_coder
from kernel.http import responses
from options.catalogue import CATALOGUE
from options.configuration import load
from options.rejections import rejected_values
from options.rendering import config_document, options_document
from tests.support.api.client import APIClient, browser_of
from tests.support.coder.releases import Release
from tests.support.coder.stand_in import Key, Person, StandInCoder
from tests.support.factories import make_user
from tests.support.processes import DEADLINE_SECONDS
from tests.support.samples import sample
from tests.support.servers.front import answered_by
from tokens.verification import providers

PLANTED = "planted-secret"
CONFIG = "/api/v2/deployment/config"
BUILD = "/api/v2/buildinfo"
BOTH = ("documented", "coderd")


@pytest.fixture(autouse=True)
def _uses_coder(coder: StandInCoder, settings: Any, db: None) -> Iterator[None]:
    settings.CONFIG_SOURCE = "coder"
    apps.get_app_config("beside").ready()
    documents.use_coder(seconds=DEADLINE_SECONDS)
    yield
    for one in DOCUMENTS:
        one.document.use_source(None)
    responses.version_source = None
    running_coder.use_source(None)
    coder_release.restart()
    documents.ANSWERS.clear()
    documents.FAILURES.clear()


@pytest.fixture
def reader(owner: APIClient) -> Client:
    """An owner. Members that only Coder knows are not in our schema, which this client ignores."""
    return Client(headers={"Coder-Session-Token": owner.token})


def get(client: Client, path: str, wire: str = "documented") -> Any:
    """Returns an answer that is not cached."""
    memory.clear_all()
    return client.get(path, headers={"Coderapi-Wire-Format": wire})


def rendered(environ: dict[str, str], wire: str) -> dict[str, Any]:
    loaded = load(environ)
    config, options = (
        config_document(loaded, wire_format=wire),
        options_document(loaded, wire_format=wire),
    )
    found: dict[str, Any] = json.loads(json.dumps({"config": config, "options": options}))
    return found


def test_converted_configuration_equals_our_own() -> None:
    every = {
        each.env: sample(each)
        for each in CATALOGUE
        if each.env and not each.use_instead and each.json_path != "config"
    }
    for environ in ({}, every):
        coders = translation.stripped(rendered(environ, "coderd"))
        converted, own = translation.documented(coders), rendered(environ, "documented")
        # Coder sorts options by name.
        own["options"].sort(key=itemgetter("name"))
        assert converted == own


def test_options_of_another_release(coder: StandInCoder, reader: Client) -> None:
    new = {"name": "New", "value": {"Choices": ["a"], "Value": "a"}, "group": {"name": "G"}}
    new["description"] = "long " * 2**18
    # In this release, options that we know have another type.
    others = {"SSH Keygen Algorithm": [{"a": 1}], "TLS Ciphers": 1, "OIDC Scopes": True}
    coder.config["options"] += [new, *({"name": n, "value": v} for n, v in others.items())]
    coder.config["config"] |= {
        "new": {"deep": [1]},
        "ssh_keygen_algorithm": [{"a": 1}],
        "pprof": {"address": "[::1]:6060"},
    }
    coderd = get(reader, CONFIG, "coderd").json()
    assert coderd["config"] == coder.config["config"]
    assert new in coderd["options"]
    documented = get(reader, CONFIG).json()
    ours = rendered({"CODER_ACCESS_URL": "https://coder.example.com"}, "documented")["config"]
    assert documented["config"] == {
        "access_url": ours["access_url"],
        "http_address": "0.0.0.0:3000",
        "pprof": {"address": {"host": "::1", "port": "6060"}},
        "verbose": True,
        "external_auth": {"value": []},
        "session_lifetime": {"max_token_lifetime": 3155760000000000000},
        "unknown_to_us": {"enabled": True},
        "new": {"deep": [1]},
        "ssh_keygen_algorithm": [{"a": 1}],
        "pg_connection_url": "",
        "tls": {"supported_ciphers": []},
        "oidc": {"scopes": []},
    }
    found = {option["name"]: option for option in documented["options"]}
    assert len(found) == 6
    assert found["New"]["value"] == new["value"]
    assert found["New"]["group"]["parent"] is None
    assert {name: found[name]["value"] for name in others} == others
    assert found["Postgres Connection URL"]["value"] is None


@pytest.mark.parametrize("wire", BOTH)
def test_no_secret_leaves_coder(
    coder: StandInCoder, reader: Client, wire: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    secret, by_mark = {"annotations": {"secret": "true"}}, {"name": "Z", "value": PLANTED}
    coder.config["options"] += [
        {"name": "A", "use_instead": [{"name": "B", "value": PLANTED, **secret}]},
        {"name": "C", "value": PLANTED, "use_instead": [{"name": "D", "value": "", **secret}]},
        {"name": "SCIM API Key", "value": PLANTED, "value_source": "env"},
        {"name": "E", "value": f"https://me:{PLANTED}@example.com"},
        {**by_mark, **secret},
    ]
    coder.config["options"][1]["use_instead"][0]["value"] = PLANTED
    coder.config["config"] |= {
        "scim_api_key": PLANTED,
        "external_auth": [{"id": "x", "client_secret": PLANTED}],
        "docs_url": f"https://me:{PLANTED}@example.com",
    }
    answer = get(reader, CONFIG, wire)
    assert answer.status_code == 200
    rows = list(ConfigRevision.objects.values())
    assert "SCIM API Key" in answer.text
    assert PLANTED not in f"{answer.text} {answer.headers} {rows} {caplog.text}"
    (row,) = rows
    assert row["secret_digests"] == {"scim_api_key": "env"}


def test_revision_is_recorded_once_for_each_change(coder: StandInCoder, reader: Client) -> None:
    for value, count in (("a", 1), ("a", 1), ("b", 2), ("a", 3)):
        coder.config["options"][0]["value"] = f"https://{value}.example.com"
        for wire in BOTH:
            get(reader, CONFIG, wire)
        assert ConfigRevision.objects.filter(coder_url=coder.url).count() == count
    newest = ConfigRevision.objects.first()
    assert newest is not None
    assert (newest.server_version, newest.values["access_url"]) == (
        coder.version,
        "https://a.example.com",
    )


@pytest.mark.parametrize(
    ("path", "documented"),
    [
        *(
            (BUILD, {"webpush_public_key": "", "version": "v2.25.0"}),
            ("/api/v2/updatecheck", {}),
            ("/api/v2/deployment/ssh", {}),
        ),
        ("/api/v2/experiments", ["oauth2"]),
        ("/api/v2/experiments/available", []),
    ],
)
def test_other_documents_follow_coder(
    coder: StandInCoder, owner: APIClient, anonymous: APIClient, path: str, documented: Any
) -> None:
    coder.version, coder.experiments = "v2.25.0", ["oauth2"]
    client = anonymous if path in {BUILD, "/api/v2/updatecheck"} else owner
    coderd = get(client, path, "coderd")
    answer = get(client, path)
    expected = coderd.json() | documented if isinstance(documented, dict) else documented
    if path == BUILD:
        # The documented wire does not have this member, which Coder has since 2.38.
        expected.pop("oauth2_provider", None)
    assert answer.json() == expected
    assert answer.headers["X-Coder-Build-Version"] == "v2.25.0"
    assert coder.count(path) == 2
    again = client.get(path, headers={"If-None-Match": answer.headers["ETag"]})
    assert (again.status_code, coder.count(path)) == (304, 2)


@pytest.mark.parametrize("wire", BOTH)
def test_unknown_members_of_coder_are_passed_on(
    coder: StandInCoder, reader: Client, release: Release, wire: str
) -> None:
    coder.release = replace(release, build_info={"oauth2_provider": True, "newer": {"a": 1}})
    found = get(reader, BUILD, wire).json()
    assert found["newer"] == {"a": 1}
    assert found.get("oauth2_provider") is (True if wire == "coderd" else None)


def test_known_values_that_are_not_documented_are_left_out(
    coder: StandInCoder, reader: Client
) -> None:
    coder.config["config"] |= {
        "disable_chat_sharing": True,
        "template_builder": {"disabled": True},
        "ai": {"bridge": {"enabled": True, "providers": [{"name": "x"}]}},
        "external_auth": [{"id": "x", "api_base_url": "https://x.example.com"}],
    }
    assert get(reader, CONFIG, "coderd").json()["config"] == coder.config["config"]
    config = get(reader, CONFIG).json()["config"]
    assert {"disable_chat_sharing", "template_builder"}.isdisjoint(config)
    assert config["ai"] == {"bridge": {"enabled": True}}
    (provider,) = config["external_auth"]["value"]
    assert provider["id"] == "x"
    assert "api_base_url" not in provider


def test_experiments_that_are_null_are_empty_lists(coder: StandInCoder, owner: APIClient) -> None:
    path = "/api/v2/experiments"
    coder.answers = {path: (200, b"null"), f"{path}/available": (200, b'{"safe": null}')}
    assert get(owner, path, "coderd").json() == []
    assert get(owner, f"{path}/available", "coderd").json() == {"safe": []}


ODD: list[Any] = [
    *([], 3, None, {"config": {}}, {"config": [], "options": [{}]}),
    {"config": {"deep": json.loads("[" * 300 + "]" * 300)}, "options": []},
    {"config": {}, "options": [{"name": "New", "group": "a string"}]},
    {"config": {}, "options": [{"name": "\0", "value": 1}]},
]


@pytest.mark.parametrize("fault", ["500", "html", "redirect", *ODD], ids=lambda f: str(f)[:40])
def test_last_answer_is_used_for_a_bounded_time(
    coder: StandInCoder, reader: Client, later: Callable[[float], None], fault: Any
) -> None:
    good = get(reader, CONFIG)
    if isinstance(fault, str):
        coder.fault = fault
    else:
        coder.config = fault
    assert get(reader, CONFIG).content == good.content
    later(documents.LAST_SECONDS)
    away = get(reader, CONFIG)
    assert (away.status_code, away.headers["Retry-After"]) == (503, "5")
    assert "The Coder deployment does not respond" in away.json()["detail"]
    assert coder.url not in away.text


def test_hanging_coder_is_not_replaced_by_our_own_values(
    coder: StandInCoder, anonymous: APIClient, later: Callable[[float], None]
) -> None:
    documents.use_coder(seconds=0.1)
    coder.fault = "hang"
    for _ in range(5):
        assert get(anonymous, BUILD).status_code == 503
    assert coder.count(BUILD) == 3  # Then the breaker is open.
    coder.fault = ""
    home = browser_of(make_user("auditor")).get("/admin/").text
    assert "Coder did not respond within 0.1 seconds" in home
    later(documents.LAST_SECONDS)
    assert "Coder did not respond" not in browser_of(make_user("auditor")).get("/admin/").text


# The new user is written in a transaction of its own.
@pytest.mark.django_db(transaction=True)
def test_coder_gets_the_token_of_the_caller_but_no_key_of_ours(
    coder: StandInCoder, reader: Client, settings: Any, request: pytest.FixtureRequest
) -> None:
    settings.USER_SOURCE, settings.CODER_TOKEN = "coder", ""
    providers.register(CoderIdentity())
    request.addfinalizer(lambda: providers.register(None))
    key = coder.add(Key(Person("ada", roles=("owner",))))
    assert get(Client(headers={"Coder-Session-Token": key.token}), CONFIG).status_code == 200
    before = list(coder.seen)
    assert get(reader, CONFIG).status_code == 401
    assert coder.seen == before


def test_own_values_need_no_request(coder: StandInCoder, owner: APIClient) -> None:
    responses.version_source = None
    running_coder.use_source(None)
    for one in DOCUMENTS:
        one.document.use_source(None)
        assert get(owner, one.path).headers["X-Coder-Build-Version"].startswith("v2.34.1+coderapi")
    assert coder.seen == []


@pytest.mark.usefixtures("connected")
@pytest.mark.django_db(transaction=True)
def test_front_answers_only_with_a_cached_document(
    coder: StandInCoder, anonymous: APIClient
) -> None:
    assert answered_by(BUILD) == "django"
    assert coder.seen == []
    assert get(anonymous, BUILD).json()["version"] == coder.version
    assert answered_by(BUILD) == "front"
    assert coder.count(BUILD) == 1


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("CODERAPI_CODER_URL", "http://coder:3000/api/v2", "has more than a host"),
        ("CODERAPI_CODER_URL", "http://coder:3000/?x=1", "has more than a host"),
        ("CODERAPI_CODER_TOKEN", "aaaaaaaaaa-bbbbbbbbbbbbbbbbbbbbbb", "needs CODERAPI_CODER_URL"),
    ],
)
def test_setting_that_cannot_work_is_an_error(name: str, value: str, error: str) -> None:
    (found,) = rejected_values(load({name: value}))
    assert str(found).startswith(f"{name}: ")
    assert error in str(found)


@pytest.mark.parametrize(
    ("environ", "wrong"),
    [
        ({}, True),
        ({"CODERAPI_USER_SOURCE": "coder"}, False),
        ({"CODERAPI_CODER_TOKEN": "aaaaaaaaaa-bbbbbbbbbbbbbbbbbbbbbb"}, False),
    ],
)
def test_source_needs_a_token_that_coder_accepts(environ: dict[str, str], wrong: bool) -> None:
    coder = {"CODERAPI_CODER_URL": "http://127.0.0.1:1", "CODERAPI_CONFIG_SOURCE": "coder"}
    errors = map(str, rejected_values(load({**coder, **environ})))
    assert any("needs CODERAPI_USER_SOURCE=coder" in error for error in errors) is wrong
