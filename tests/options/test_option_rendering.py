"""The configuration as JSON, YAML file, table and document."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bin.generated import options_reference
from kernel.text.durations import format_duration
from options.catalogue import CATALOGUE
from options.configuration import Configuration, load
from options.option import Option, ValueSource
from options.option_formats import CONFIG_FORMATS
from options.rendering import config_document, options_document
from options.table import option_rows, tables
from options.values.base import ValueType
from options.values.lists import TextList, format_record
from options.values.scalars import Duration, Integer, Text
from options.values.structs import Links, TextMap
from options.values.urls import without_password
from options.values.yaml_text import flow_text
from options.written_config import yaml_document
from tests.support.option_sources import options_by_name
from tests.support.samples import MARK, SECRETS, WITH_PASSWORD, planted, sample, samples


@pytest.fixture(scope="module")
def plain() -> Configuration:
    return load({})


def kinds(base: type[Any]) -> set[type[Any]]:
    """Returns the classes below a base class that have no class below themselves.

    A dataclass with slots replaces the class that its statement makes.
    """
    below = [
        each
        for each in base.__subclasses__()
        if vars(import_module(each.__module__)).get(each.__name__) is each
    ]
    return {kind for each in below for kind in kinds(each) or {each}}


def test_every_type_of_value_has_an_encoding_in_both_formats() -> None:
    for form in CONFIG_FORMATS.values():
        assert form.encodings.keys() == kinds(ValueType)


SHOWN = {
    "CODER_ACCESS_URL": "https://user:word@h:1/a%2Fb?q#f",
    "CODER_SUPPORT_LINKS": "[{name: n, target: t, icon: bug}]",
    "CODER_EXTERNAL_AUTH_0_ID": "x",
}

ACCESS_URL: dict[str, Any] = {
    **dict.fromkeys(("opaque", "rawFragment"), ""),
    **dict.fromkeys(("omitHost", "forceQuery"), False),
    "scheme": "https",
    "user": {},
    "host": "h:1",
    "path": "/a/b",
    "rawPath": "/a%2Fb",
    "rawQuery": "q",
    "fragment": "f",
}


OLD_EMAIL = "Notifications: Email: From Address"
LINK = {"name": "n", "target": "t", "icon": "bug"}
MAX_LIFETIME = 3_155_760_000_000_000_000


@pytest.mark.parametrize(
    ("path", "documented", "coderd"),
    [
        ("access_url", ACCESS_URL, "https://user:xxxxx@h:1/a%2Fb?q#f"),
        ("address", {"host": "", "port": ""}, ""),
        ("tls.address", {"host": "127.0.0.1", "port": "3443"}, "127.0.0.1:3443"),
        ("tls.cert_file", [], None),
        ("tls.enable", False, False),
        ("oidc.group_regex_filter", {"source": ".*"}, ".*"),
        ("oidc.group_mapping", {}, {}),
        ("support.links", {"value": [{**LINK, "location": ""}]}, [LINK]),
        ("config_ssh.deploymentName", "coder.", None),
        ("config_ssh.DeploymentName", None, "coder."),
        ("config_ssh.sshconfigOptions", [], None),
        ("session_lifetime.max_token_lifetime", MAX_LIFETIME, MAX_LIFETIME),
        ("pg_auth", "password", "password"),
        ("http_cookies.same_site", "lax", "lax"),
        ("http_cookies.secure_auth_cookie", True, True),
        ("http_cookies.host_prefix", None, None),
        ("ai.bridge.allow_byok", None, True),
        ("template_builder", None, {"registry_url": "registry.coder.com"}),
    ],
)
def test_values_have_the_form_of_their_wire(path: str, documented: Any, coderd: Any) -> None:
    for wire, wanted in (("documented", documented), ("coderd", coderd)):
        node: Any = config_document(load(SHOWN), wire_format=wire)
        for key in path.split("."):
            node = node.get(key)
        assert node == wanted, wire


def test_external_providers_have_every_public_member() -> None:
    (documented,) = config_document(load(SHOWN))["external_auth"]["value"]
    (coderd,) = config_document(load(SHOWN), wire_format="coderd")["external_auth"]
    assert documented.keys() == coderd.keys() - {"api_base_url"}
    assert len(documented) == 20
    assert (documented["scopes"], coderd["scopes"]) == ([], None)
    assert config_document(load({}), wire_format="coderd")["external_auth"] == []


def test_coderd_omits_empty_members_at_the_top() -> None:
    configuration = load(
        {"CODER_DISABLE_SESSION_EXPIRY_REFRESH": "false", "CODER_SESSION_DURATION": "0"}
    )
    document = config_document(configuration, wire_format="coderd")
    gone = {"browser_only", "experiments", "pg_connection_url", "verbose", "wgtunnel_host"}
    assert gone.isdisjoint(document)
    assert gone <= set(config_document(configuration))
    assert "disable_expiry_refresh" not in document["session_lifetime"]
    assert document["session_lifetime"]["default_duration"] == 0


def test_coderd_options_omit_empty_members(plain: Configuration) -> None:
    options = options_by_name(plain, "coderd")
    assert options["Experiments"] == {
        "name": "Experiments",
        "description": plain.option("Experiments").description,
        "flag": "experiments",
        "env": "CODER_EXPERIMENTS",
        "yaml": "experiments",
        "value": None,
        "annotations": {"external_workspace_proxies": "true"},
    }
    assert options["Browser Only"]["value"] is False
    auth = {"Choices": ["password", "awsiamrds"], "Value": "password"}
    assert options["Postgres Auth"]["value"] == auth
    assert options["TLS Address"]["group"]["parent"]["name"] == "Networking"
    assert all("value" not in options[option.name] for option in SECRETS)
    successors = options["Address"]["use_instead"]
    assert [option["name"] for option in successors] == ["HTTP Address", "TLS Address"]
    assert all("value_source" not in option for option in successors)


def test_no_output_contains_a_secret() -> None:
    providers = json.dumps([{"id": "y", "client_secret": MARK, "token_url": WITH_PASSWORD}])
    flags = [("external-auth-providers", providers), ("notifications-email-auth-password", MARK)]
    configuration = load(planted(), flags=flags)
    rows = option_rows(configuration)
    shown = [yaml_document(configuration), tables(rows), f"{rows} {configuration!r}"]
    for wire in ("documented", "coderd"):
        shown.append(json.dumps(config_document(configuration, wire_format=wire)))
        shown.append(json.dumps(options_document(configuration, wire_format=wire)))
    assert not [text for text in shown if MARK in text]


def test_file_explains_redacted_values() -> None:
    written = yaml_document(load({"CODER_DERP_SERVER_RELAY_URL": "https://u:word@h"}))
    assert '# relayURL: "https://u:xxxxx@h"' in written
    assert "a secret was removed" in written


texts = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12
).filter(lambda text: without_password(text) == text)


def texts_for(option: Option) -> st.SearchStrategy[str]:
    """Returns a strategy for texts that the option accepts."""
    match option.type:
        case TextList(None):
            lists = st.lists(texts.map(lambda text: text.replace("\r", "")), max_size=3)
            return lists.map(format_record)
        case Text(None):
            return texts
        case Integer(minimum, maximum):
            return st.integers(minimum, maximum).map(str)
        case Duration():
            return st.integers(-(2**63), 2**63 - 1).map(format_duration)
        case TextMap():
            return st.dictionaries(texts, texts, max_size=2).map(flow_text)
        case Links():
            link = st.fixed_dictionaries({"name": texts, "target": texts})
            return st.lists(link, max_size=2).map(flow_text)
    return st.sampled_from(samples(option))


# The start changes the values of these.
CHANGED_AT_START = {"Config Path", "Write Config", "Address", "Disable All Rate Limits"}
PLAIN = [
    option
    for option in CATALOGUE
    if not (option.secret or option.use_instead or option.name in CHANGED_AT_START)
]
assignments = st.lists(
    st.sampled_from(PLAIN), max_size=25, unique_by=lambda option: option.name
).flatmap(
    lambda options: st.fixed_dictionaries({option.flag: texts_for(option) for option in options})
)


@given(flags=assignments)
def test_written_file_and_formatted_values_round_trip(
    flags: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    configuration = load({}, flags=list(flags.items()))
    path = tmp_path_factory.mktemp("written") / "coder.yaml"
    path.write_text(yaml_document(configuration), encoding="utf-8")
    by_file = load({"CODER_CONFIG_PATH": str(path)})
    by_flags = load(
        {},
        flags=[
            (option.flag, option.type.format(configuration[option.json_path]))
            for option in PLAIN
            if option.flag in flags
        ],
    )
    assert by_flags.values == configuration.values
    for option in PLAIN:
        if option.yaml:
            assert by_file[option.json_path] == configuration[option.json_path], option.name


def test_every_option_round_trips_through_flags_environment_and_file(tmp_path: Path) -> None:
    by_flags = load({}, flags=[(option.flag, sample(option)) for option in PLAIN])
    for option in PLAIN:
        assert by_flags[option.json_path] != load({})[option.json_path], option.name
    by_env = load({option.env: sample(option) for option in PLAIN if option.env})
    file = tmp_path / "coder.yaml"
    file.write_text(yaml_document(by_flags), encoding="utf-8")
    by_file = load({"CODER_CONFIG_PATH": str(file)})
    for option in PLAIN:
        path, wanted = option.json_path, by_flags[option.json_path]
        assert by_flags.sources[path] is ValueSource.FLAG
        if option.env:
            assert (by_env[path], by_env.sources[path]) == (wanted, ValueSource.ENV)
        if option.yaml:
            assert (by_file[path], by_file.sources[path]) == (wanted, ValueSource.YAML)


def test_file_of_the_defaults_loads_without_warnings(plain: Configuration, tmp_path: Path) -> None:
    path = tmp_path / "coder.yaml"
    path.write_text(yaml_document(plain), encoding="utf-8")
    again = load({"CODER_CONFIG_PATH": str(path)})
    assert again.warnings == ()
    assert {**again.values, "config": ""} == plain.values
    assert again.sources["access_url"] == ""


def test_file_names_group_default_and_type(plain: Configuration) -> None:
    written = yaml_document(plain)
    assert "\nnetworking:\n" in written
    assert "\n  http:\n" in written
    assert "\n  # accessURL:\n" in written
    assert "(default: 24h0m0s, type:\n    # duration)\n    sessionDuration: 24h0m0s\n" in written


def test_table_shows_set_options_and_their_places() -> None:
    configuration = load(
        {"CODER_ACCESS_URL": "https://a.example", "CODER_SCIM_AUTH_HEADER": "word"},
        flags=[("experiments", "a,b")],
    )
    rows = {row.option.name: row for row in option_rows(configuration, changed=True)}
    assert list(rows) == ["Access URL", "Experiments", "SCIM API Key"]
    assert (rows["Experiments"].value, rows["Experiments"].place) == ("a,b", "--experiments")
    assert rows["SCIM API Key"].value == "(secret)"
    assert tables(list(rows.values())).splitlines()[1].split()[-2:] == ["env", "CODER_ACCESS_URL"]
    # An old name shows the source of the shared value.
    old = options_by_name(load({"CODER_EMAIL_FROM": "a"}), "coderd")[OLD_EMAIL]
    assert (old["value_source"], old["value"]) == ("env", "a")


@pytest.mark.parametrize(
    "name",
    ["Access URL", "access url", "CODER_ACCESS_URL", "--access-url", "networking.accessURL"],
)
def test_table_finds_an_option_by_any_of_its_names(name: str, plain: Configuration) -> None:
    (row,) = option_rows(plain, names=[name])
    assert row.option.name == "Access URL"


def test_reference_has_every_option_and_its_effect() -> None:
    text = options_reference()
    for option in CATALOGUE:
        assert f"### {option.name}\n" in text
    assert text.count("**Obeyed**.") == len([option for option in CATALOGUE if option.obeyed])
    assert "`networking.accessURL` in YAML" in text
