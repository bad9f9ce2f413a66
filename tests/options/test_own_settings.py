"""coderapi's own settings: accepted values and errors."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bin.generated import CODERS_FIRST, COMPOSE_VARIABLES, env_example
from options.catalogue import CATALOGUE, OWN_OPTIONS
from options.configuration import ConfigurationError, load
from options.option import Option, by_env
from options.redaction import redacted
from options.start import allowed_hosts

PASSWORD = "hunter2-hunter2"
KEY = "of-the-tests-0123456789-0123456789-0123456789-0123456789"
EXAMPLE = env_example()
ASSIGNMENT = re.compile(r"#([A-Z0-9_]+)=(\S*)")


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("DATABASE_URL", f"host=db password={PASSWORD}", "a URL such as postgresql://"),
        ("DATABASE_URL", f"postgresql://u:{PASSWORD}@db:port/x", "with numeric ports"),
        ("DATABASE_URL", f"postgresql://u:{PASSWORD}@[db/x", "a URL such as"),
        ("CODERAPI_DIRECT_DATABASE_URL", f"mysql://u:{PASSWORD}@db/x", "such as postgresql://"),
        ("CODERAPI_REDIS_URL", f"memcached://{PASSWORD}", "redis://"),
        ("CODERAPI_WIRE_FORMAT", "morse", "'morse' is not accepted; accepted: one of documented"),
        ("CODERAPI_HTTP_ADDRESS", "3000", "host:port"),
        ("CODERAPI_HTTP_ADDRESS", "[::1]:99999", "host:port"),
        ("CODERAPI_HTTP_ADDRESS", "::1:80", "host:port"),
        ("CODERAPI_CODER_VERSION", "v2.29", "semantic version"),
        ("CODERAPI_WEB_WORKERS", "0", "from 1 to 64"),
        ("CODERAPI_WEB_THREADS", "many", "whole number"),
        ("CODERAPI_CSP_RETENTION", "-1d", "negative"),
        ("CODERAPI_CSP_RETENTION", "90", "unit"),
        ("CODERAPI_CSP_MAX_DISK", "10240", "'10240' lacks a unit; accepted: a size such as 512MiB"),
        ("CODERAPI_CSP_MAX_DISK", "ten GiB", "'ten GiB' is not a size"),
        ("CODERAPI_CSP_ALLOWED_SENDERS", "everybody", "ingest-key"),
        ("CODERAPI_UPDATE_CHECK_URL", f"ftp://u:{PASSWORD}@h/?{PASSWORD}", "http:// or https://"),
        ("CODERAPI_UPDATE_CHECK_URL", "https:///path", "has no host"),
        ("CODERAPI_SECRET_KEY_FILE", "/nowhere", "/nowhere cannot be read"),
        ("CODERAPI_SECRET_KEY", PASSWORD, "at least 50 random characters"),
        ("CODERAPI_SECRET_KEY", f"{PASSWORD[:1]}" * 60, "10 of them different"),
        ("CODERAPI_WIER_FORMAT", "coderd", "no such setting; did you mean CODERAPI_WIRE_FORMAT?"),
        ("CODERAPI_NEW", "1", "no such setting"),
        ("CODERAPI_USER_SOURCE", "github", "one of own, coder"),
        ("CODERAPI_PAGES_PATH", "coderapi", "begins and ends with a slash"),
        ("CODERAPI_PAGES_PATH", "/api/v2/", "outside /api/"),
        ("CODERAPI_CODER_TOKEN", f"{PASSWORD}\n", "a session token"),
    ],
)
def test_bad_value_is_an_error_without_secrets(name: str, value: str, error: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        load({name: value})
    (line,) = str(refused.value).splitlines()
    assert line.startswith(f"{name}: ")
    assert error in line
    assert PASSWORD not in line


@pytest.mark.parametrize(
    "url",
    [
        *("postgresql://u:p@db/x", "postgres://u:p@db:5432/x", "postgresql://u@[::1]:5432/x"),
        "postgresql://u:p@one:1,two:2/x?target_session_attrs=read-write",
        "postgresql://u:p%40@/x?host=%2Frun%2Fpg",
    ],
)
def test_database_url_may_have_hosts_ports_and_sockets(url: str) -> None:
    assert load({"DATABASE_URL": url})["DATABASE_URL"] == url


def test_secret_is_read_from_its_file_and_redacted(tmp_path: Path) -> None:
    (tmp_path / "key").write_text(f"{KEY}\n")
    found = load({"CODERAPI_SECRET_KEY_FILE": str(tmp_path / "key")})
    assert list(found.secrets()) == [found["CODERAPI_SECRET_KEY"]] == [KEY]
    shown, own = redacted(found), {each.env for each in OWN_OPTIONS}
    assert not own & (shown.values.keys() | {option.name for option in shown.options})


def test_values_have_their_types_and_only_exact_names_count() -> None:
    found = load(
        {
            "database_url": "x",
            "HOMEBREW_DATABASE_URL": "x",
            "coderapi_wire": "x",
            "CODERAPI_CSP_RETENTION": "1w2d",
            "CODERAPI_ALLOWED_HOSTS": "a, b",
        }
    )
    assert (found["DATABASE_URL"], found["CODERAPI_WIRE_FORMAT"]) == ("", "documented")
    assert found["CODERAPI_CSP_RETENTION"] == 9 * 24 * 3_600 * 1_000_000_000
    assert allowed_hosts(found["CODERAPI_ALLOWED_HOSTS"], access_url="", wildcard="") == ["a", "b"]


NAMES = ["coder.example.com", "localhost", "127.0.0.1", "[::1]", ".apps.example.com"]


@pytest.mark.parametrize(
    ("chosen", "access_url", "wildcard", "hosts"),
    [
        (["x"], "https://coder.example.com", "", ["x"]),
        (None, "", "", ["*"]),
        (None, "https://coder.example.com:8443", "*.apps.example.com", NAMES),
    ],
)
def test_allowed_hosts_default_to_those_of_the_access_url(
    chosen: list[str] | None, access_url: str, wildcard: str, hosts: list[str]
) -> None:
    assert allowed_hosts(chosen, access_url=access_url, wildcard=wildcard) == hosts


ASSIGNMENTS = [found for line in EXAMPLE.splitlines() if (found := ASSIGNMENT.fullmatch(line))]


def test_example_has_every_setting_once() -> None:
    own = (option.env for option in OWN_OPTIONS)
    ours = (name for name, _, _ in COMPOSE_VARIABLES)
    assert [found[1] for found in ASSIGNMENTS] == [*own, *CODERS_FIRST, *ours]


def test_example_has_sentences_and_settings() -> None:
    for line in EXAMPLE.splitlines():
        assert not line or line.startswith("# ") or ASSIGNMENT.fullmatch(line)
        assert len(line) <= 100


@pytest.mark.parametrize("option", OWN_OPTIONS, ids=lambda option: option.env)
def test_example_has_defaults_and_file_variables(option: Option) -> None:
    (shown,) = [found[2] for found in ASSIGNMENTS if found[1] == option.env]
    assert shown == option.default
    assert load({option.env: shown})[option.env] == load({})[option.env]
    assert (f"{option.env}_FILE" in EXAMPLE) == option.secret


def test_first_options_of_coder_are_obeyed() -> None:
    options = by_env(CATALOGUE)
    assert all(options[name].obeyed and not options[name].deprecated for name in CODERS_FIRST)
