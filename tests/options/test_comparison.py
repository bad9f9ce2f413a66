"""The catalogue compared with the configuration of a running Coder 2.34.1 without options.

The file beside this module has the names and values of that configuration. Descriptions and values
of secrets are left out.
"""

from __future__ import annotations

import copy
import json
import tomllib
from pathlib import Path
from typing import Any

import pytest

from options.catalogue import CATALOGUE, parse_option
from options.comparison import OTHER_FORM, Difference, differences, lines, unknown_options
from options.configuration import load
from options.rendering import config_document, options_document
from options.start import COMPUTED_DEFAULTS
from tests.support.coder.stand_in import Key, Person, StandInCoder
from tests.support.option_sources import Output, options_by_name

FILE = Path(__file__).parent / "coder_2_34_1.json"
CODER: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
BY_NAME = {option.name: option for option in CATALOGUE}
LEAF = Difference("leaf", "new.leaf", coder="integer")


@pytest.fixture
def answer() -> dict[str, Any]:
    return copy.deepcopy(CODER)


def option(answer: dict[str, Any], name: str) -> dict[str, Any]:
    return next(each for each in answer["options"] if each["name"] == name)


def told(document: Any) -> Any:
    """Returns the document without descriptions, and without values of secrets."""
    if isinstance(document, list):
        return [told(each) for each in document]
    if not isinstance(document, dict):
        return document
    is_secret = "secret" in (document.get("annotations") or {})
    hidden = {"description", "value"} if is_secret else {"description"}
    return {key: told(value) for key, value in document.items() if key not in hidden}


def test_catalogue_has_every_option_and_leaf(answer: dict[str, Any]) -> None:
    assert differences(answer) == []
    assert unknown_options(answer) == []


def test_coderd_wire_equals_coders_answer(answer: dict[str, Any]) -> None:
    environ = {
        "CODER_ACCESS_URL": "https://coder.example.com",
        "CODER_HTTP_ADDRESS": "127.0.0.1:3000",
        "CODER_PG_CONNECTION_URL": "postgresql://u:p@h/d",
    }
    computed = {
        "cache_directory": "/home/coder/.cache/coder",
        "docs_url": "https://coder.com/docs/@v2.34.1",
    }
    configuration = load(environ, defaults=computed)
    assert config_document(configuration, wire_format="coderd") == answer["config"]
    assert told(options_document(configuration, wire_format="coderd")) == told(answer["options"])


def test_documented_wire_keeps_the_order_of_the_catalogue() -> None:
    configuration = load({})
    names = [each["name"] for each in options_document(configuration)]
    assert names == [each.name for each in configuration.options]
    assert len(names) == 283


def test_file_has_no_sentence() -> None:
    text = FILE.read_text(encoding="utf-8")
    assert "description" not in text
    assert ". " not in text


def test_differences_are_named_member_by_member(answer: dict[str, Any]) -> None:
    answer["options"].append({"name": "New", "value": 1})
    removed = options_by_name(load({}), "coderd")["AI Budget Policy"]
    answer["options"].remove(option(answer, "AI Budget Policy"))
    option(answer, "Browser Only").update(
        flag="browser", hidden=True, value="yes", annotations={}, group={"name": "Client"}
    )
    option(answer, "Postgres Auth")["value"]["Choices"].append("other")
    option(answer, "Verbose")["use_instead"].append({"name": "Other"})
    # Values and computed defaults depend on the server.
    option(answer, "Docs URL").update(default="https://docs.example", value="https://docs.example")
    option(answer, "Session Duration").update(value=1, value_source="env", description="x")
    answer["config"] |= {"new": {"leaf": 1}, "docs_url": "x", "pg_conn_max_open": "many"}
    del answer["config"]["tls"]["min_version"]
    answer["config"]["external_auth"] = [{"id": "x", "newer": 1, "scopes": None}]
    answer["config"]["oidc"]["group_mapping"] = {"any": "key"}
    client = ["Client ()"]
    networking = ["Networking (networking)"]
    assert differences(answer) == [
        Difference("option", "New", coder={"name": "New", "value": 1}),
        Difference("option", "AI Budget Policy", catalogue=removed),
        Difference("option", "Browser Only", "annotations", {}, {"enterprise": "true"}),
        Difference("option", "Browser Only", "flag", "browser", "browser-only"),
        Difference("option", "Browser Only", "group", client, networking),
        Difference("option", "Browser Only", "hidden", True, False),
        Difference("option", "Browser Only", "value", "string", "boolean"),
        Difference(
            "option",
            "Postgres Auth",
            "value",
            ["password", "awsiamrds", "other"],
            ["password", "awsiamrds"],
        ),
        Difference("option", "Verbose", "use_instead", ["Log Filter", "Other"], ["Log Filter"]),
        Difference("leaf", "external_auth[].newer", coder="integer"),
        LEAF,
        Difference("leaf", "tls.min_version", catalogue="string"),
        Difference("leaf", "pg_conn_max_open", "type", "string", "integer"),
    ]
    assert unknown_options(answer) == ["New"]


@pytest.mark.parametrize("coder", CODER["options"], ids=lambda coder: coder["name"])
def test_lines_of_a_new_option_are_its_entry(coder: dict[str, Any]) -> None:
    expected = BY_NAME[coder["name"]]
    [entry] = tomllib.loads("\n".join(lines([Difference("option", "", coder=coder)])))["option"]
    if expected.json_path not in {*COMPUTED_DEFAULTS, "http_cookies.secure_auth_cookie"}:
        assert entry.get("default", "") == expected.default
    found = parse_option({"description": ""} | entry)
    for name in ("env", "flag", "flag_shorthand", "yaml", "group", "hidden", "use_instead"):
        assert getattr(found, name) == getattr(expected, name)
    assert found.annotations == expected.annotations
    assert "flag" not in entry or entry["flag"] != coder.get("env", "")[6:].lower().replace(
        "_", "-"
    )


def test_lines_of_a_changed_option_are_its_members(answer: dict[str, Any]) -> None:
    answer["options"].append({"name": "New", "group": {"name": "Fresh", "yaml": "fresh"}})
    option(answer, "Browser Only").update(
        flag="browser", hidden=True, annotations={}, group={"name": "Client", "yaml": "client"}
    )
    text = "\n".join(lines(differences(answer)))
    new, *changed = text.split("\n\n")
    assert new.split("\n") == [
        *("", "[[option]]", 'name = "New"', 'description = ""', 'type = "string"'),
        *('group = "fresh"', 'flag = ""', 'yaml = ""', "documented = false"),
    ]
    assert [each.split("\n")[1] for each in changed] == [
        *("enterprise = false", 'flag = "browser"', 'group = "client"', "hidden = true")
    ]


@pytest.mark.parametrize(
    "document", [{}, [], {"config": {}, "options": 1}, {"config": 1, "options": []}, None]
)
def test_other_json_is_an_error(document: Any) -> None:
    with pytest.raises(OTHER_FORM):
        differences(document)


def test_command_compares_a_file_and_standard_input(tmp_path: Path, answer: dict[str, Any]) -> None:
    output = Output("options", "--compare", str(FILE))
    assert (output.status, output.out) == (0, "283 options, no differences\n")
    answer["config"]["new"] = {"leaf": 1}
    file = tmp_path / "config.json"
    file.write_text(json.dumps(answer), encoding="utf-8")
    output = Output("options", f"--compare={file}", "--json")
    assert output.status == 1
    assert json.loads(output.out)["name"] == "new.leaf"
    assert "1 difference between Coder and coderapi." in output.err
    file.write_text("{}", encoding="utf-8")
    assert "is not a configuration of Coder." in Output("options", "--compare", str(file)).err
    assert Output("options", "--compare", str(tmp_path / "none")).status == 1
    assert "names" in Output("options", "--compare", str(FILE), "access-url").errors[-1]


def test_command_compares_a_running_coder(answer: dict[str, Any]) -> None:
    with StandInCoder() as coder:
        coder.config = answer
        key = coder.add(Key(Person("olivia", roles=("owner",))))
        output = Output("options", "--compare", coder.url, CODER_SESSION_TOKEN=key.token)
        assert (output.status, output.out) == (0, "283 options, no differences\n")
        own = {"CODERAPI_CODER_TOKEN": key.token, "CODERAPI_CODER_URL": coder.url}
        assert Output("options", "--compare", coder.url, **own).status == 0
        other = {**own, "CODERAPI_CODER_URL": "http://coder.example.com"}
        coder.seen.clear()
        assert "Set CODER_SESSION_TOKEN" in Output("options", "--compare", coder.url, **other).err
        assert not coder.seen
        wrong = Output("options", "--compare", coder.url, CODER_SESSION_TOKEN="x")
        assert wrong.status == 1
        assert "returned status 401" in wrong.err
