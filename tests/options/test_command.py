"""What the options command and the server's help say, without a database."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from options.catalogue import CATALOGUE, GROUPS
from tests.support.processes import PROJECT


class Said:
    def __init__(self, *arguments: str, **environ: str) -> None:
        """What manage.py says, in an environment that names no database."""
        keep = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        run = subprocess.run(
            [sys.executable, str(PROJECT / "manage.py"), *arguments],
            env={**keep, **environ},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        self.status, self.out, self.err = run.returncode, run.stdout, run.stderr
        assert "Traceback" not in self.err

    @property
    def errors(self) -> list[str]:
        assert self.status == 1
        return self.err.splitlines()


def test_table_has_every_option_with_its_value_and_source() -> None:
    said = Said("options", "--http-address=127.0.0.1:1", CODER_ACCESS_URL="https://a.example")
    assert said.status == 0
    lines = said.out.splitlines()
    assert len(lines) == 1 + len(CATALOGUE)
    assert re.search(r"HTTP Address +127\.0\.0\.1:1 +flag +--http-address\n", said.out)
    assert re.search(r"Access URL +https://a\.example +env +CODER_ACCESS_URL\n", said.out)


def test_changed_shows_only_what_somebody_set() -> None:
    said = Said("options", "--changed", CODER_SSH_KEYGEN_ALGORITHM="rsa4096")
    assert len(said.out.splitlines()) == 2


def test_json_has_typed_values() -> None:
    (found,) = json.loads(
        Said("options", "--json", "--session-duration", "2h", "--", "session-duration").out
    )
    assert found == {
        "name": "Session Duration",
        "value": 7_200_000_000_000,
        "value_source": "flag",
        "set_by": "--session-duration",
    }


def test_flags_that_are_known_are_read_wherever_they_stand() -> None:
    said = Said("options", "-c", "/none/there", "access-url")
    assert said.errors[0].startswith("/none/there: the file cannot be read")


def test_environment_may_come_from_a_file_and_wins_over_it(tmp_path: Path) -> None:
    file = tmp_path / "env"
    file.write_text("# A comment\n\nCODER_VERBOSE=1\nexport CODER_BROWSER_ONLY='true'\n")
    said = Said("options", "--changed", CODERAPI_ENV_FILE=str(file), CODER_VERBOSE="false")
    assert re.search(r"Verbose +false +env", said.out)
    assert re.search(r"Browser Only +true +env", said.out)


@pytest.mark.parametrize(("text", "said"), [("a: MARKER\n", ":1: is neither"), (None, "cannot be")])
def test_bad_environment_file_is_refused_without_its_text(
    tmp_path: Path, text: str | None, said: str
) -> None:
    file = tmp_path / "env"
    if text:
        file.write_text(text)
    (error,) = Said("options", CODERAPI_ENV_FILE=str(file)).errors
    assert said in error
    assert "MARKER" not in error


def test_unknown_name_is_refused_with_the_nearest_one() -> None:
    assert Said("options", "acces-url").errors == [
        "acces-url: no such option; did you mean Access URL?"
    ]


def test_warnings_are_told_beside_the_table() -> None:
    said = Said("options", "--changed", CODER_ACCES_URL="x")
    assert said.status == 0
    assert "did you mean CODER_ACCESS_URL?" in said.err


def test_errors_of_all_sources_are_told_at_once(tmp_path: Path) -> None:
    file = tmp_path / "coder.yaml"
    file.write_text("networking:\n  http:\n    sessionDuration: 1y\n", encoding="utf-8")
    said = Said(
        "options",
        "--tls-enable=maybe",
        CODER_CONFIG_PATH=str(file),
        CODER_PG_CONN_MAX_OPEN="many",
        CODER_PG_AUTH="awsiamrds",
    )
    places = [line.partition(": ")[0] for line in said.errors]
    assert sorted(places) == sorted(["CODER_PG_CONN_MAX_OPEN", "--tls-enable", f"{file}:3:22"])


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({"CODER_PG_AUTH": "awsiamrds"}, "Postgres Auth: 'awsiamrds' cannot be served"),
        (
            {"CODER_PG_CONNECTION_URL": "host=h"},
            "Postgres Connection URL: is refused; accepted: a URL",
        ),
        (
            {"CODER_PG_CONN_MAX_IDLE": "11"},
            "Postgres Connection Max Idle: '11' is more than the 10 connections",
        ),
        ({"CODER_HTTP_ADDRESS": "nonsense"}, "HTTP Address: 'nonsense' is no address"),
        ({"CODER_HTTP_ADDRESS": "localhost:70000"}, "HTTP Address: 'localhost:70000'"),
        (
            {"CODER_PROMETHEUS_ENABLE": "1", "CODER_PROMETHEUS_ADDRESS": "localhost:"},
            "Prometheus Address: 'localhost:' is no address",
        ),
        (
            {"CODER_STRICT_TRANSPORT_SECURITY_OPTIONS": "forever"},
            "Strict-Transport-Security Options",
        ),
        ({"CODER_LOGGING_JSON": "/none/there"}, "JSON Log Location: '/none/there' cannot be"),
        ({"CODER_EMAIL_SMARTHOST": "mail:25"}, "Email: From Address: is needed"),
        (
            {"CODER_EMAIL_SMARTHOST": "mail:smtp", "CODER_EMAIL_FROM": "a@b"},
            "Email: Smarthost: 'mail:smtp' is no address",
        ),
    ],
)
def test_what_cannot_be_obeyed_is_refused_by_name(environ: dict[str, str], said: str) -> None:
    (error,) = Said("options", **environ).errors
    assert said in error


# --- Checking files ---------------------------------------------------------------------------


def check(path: Path, content: bytes) -> Said:
    path.write_bytes(content)
    return Said("options", "--check", str(path))


def test_typo_is_found_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "coder.yaml"
    said = check(file, b"networking:\n  # here\n  accesURL: https://a.example\n")
    (error,) = said.errors
    assert error == (
        f"{file}:3:3: 'networking.accesURL' is not an option; did you mean networking.accessURL?"
    )


def test_all_files_are_checked_and_all_errors_told(tmp_path: Path) -> None:
    good, bad = tmp_path / "good.yaml", tmp_path / "bad.yaml"
    good.write_text("networking: {accessURL: 'https://a.example'}\n", encoding="utf-8")
    bad.write_text("a: 1\nb: 2\n", encoding="utf-8")
    said = Said("options", "--check", str(good), str(bad), str(tmp_path / "none"))
    assert [line.partition(": ")[0] for line in said.errors] == [
        *(f"{bad}:1:1", f"{bad}:2:1"),
        str(tmp_path / "none"),
    ]
    said = Said("options", "--check", str(good))
    assert (said.status, said.out) == (0, f"{good}: nothing is wrong\n")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", ":1:1: the file must hold a mapping"),
        (b"- a\n", ":1:1: the file must hold a mapping"),
        (b"\x00\x01\xff", ": "),
        (b"#" * 50_000_000, ": the file is larger than 1 MiB"),
        (b"networking:\n  accessURL: a\n  accessURL: b\n", ":3:3: "),
        (b"a: &x 1\nnetworking: {accessURL: *x}\n", ":1:"),
        (b"networking:\n\taccessURL: a\n", ":2:1: "),
        (
            b"scimAuthHeader: word\n",
            ":1:1: SCIM API Key: 'scimAuthHeader' cannot be set in a YAML file",
        ),
        (b"networking: {accessURL: 'https://a\x01b'}\n", ":1:"),
        (b"oidc: {groupRegexFilter: '(?!a)'}\n", ":1:26: "),
    ],
)
def test_bad_files_are_refused(tmp_path: Path, content: bytes, said: str) -> None:
    file = tmp_path / "coder.yaml"
    assert any(line.startswith(f"{file}{said}") for line in check(file, content).errors)


# --- The server's help and file ---------------------------------------------------------------


def test_help_has_every_flag_under_coders_headings() -> None:
    said = Said("server", "--help")
    assert said.status == 0
    for option in CATALOGUE:
        shown = f"--{option.flag}" in re.findall(r"--[a-z0-9-]+", said.out)
        assert shown is (not option.hidden), option.name
    headings = [line for line in said.out.splitlines() if line.endswith(":")]
    paths = [f"{group.path}:" for group in GROUPS]
    assert [line for line in paths if line in headings] == [
        line for line in headings if line in paths
    ]
    assert "--verbosity" not in said.out


def test_written_configuration_reads_back(tmp_path: Path) -> None:
    environ = {"CODER_ACCESS_URL": "https://a.example", "CODER_SSH_CONFIG_OPTIONS": "a=b,c=d"}
    written = Said("server", "--write-config", "--swagger-enable", **environ)
    assert written.status == 0
    file = tmp_path / "coder.yaml"
    file.write_text(written.out, encoding="utf-8")
    assert Said("options", "--check", str(file)).status == 0
    again = Said("server", "--write-config", "-c", str(file))
    first, second = (
        [line for line in text.splitlines() if "--config" not in line]
        for text in (written.out, again.out)
    )
    assert first == second


def test_unknown_flags_are_told_beside_all_other_mistakes() -> None:
    said = Said("server", "--acess-url=x", "--nothing=y", "--tls-enable=maybe", CODERAPI_WIRE="z")
    places = {line.partition(":")[0].partition(" ")[0] for line in said.errors[1:]}
    assert places == {"--acess-url", "--nothing", "--tls-enable", "CODERAPI_WIRE"}


def test_wrong_configuration_refuses_the_start_with_all_that_is_wrong() -> None:
    said = Said(
        "server",
        "--pprof-address=x",
        CODER_TLS_ENABLE="true",
        CODER_SESSION_DURATION="1y",
        CODERAPI_WIRE="other",
    )
    lines = said.errors
    assert lines[0] == "manage.py: the configuration is refused"
    for place in ("--pprof-address", "CODER_SESSION_DURATION", "CODERAPI_WIRE"):
        assert any(line.startswith(place) for line in lines[1:]), place
