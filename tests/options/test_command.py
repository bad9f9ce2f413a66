"""The options command, and the server's help and YAML file, without a database."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from coderapi.startup import bootstrap
from options.catalogue import CATALOGUE, GROUPS, OWN_OPTIONS
from tests.support.option_sources import Output


def test_tables_have_every_option_and_setting_with_its_value_and_source(tmp_path: Path) -> None:
    (tmp_path / "url").write_text("postgresql://u:MARKER@h/d\n")
    output = Output(
        *("options", "--http-address=127.0.0.1:1"),
        CODER_ACCESS_URL="https://a.example",
        CODERAPI_WIRE_FORMAT="coderd",
        DATABASE_URL_FILE=str(tmp_path / "url"),
    )
    assert output.status == 0
    coders, heading, own = output.out.split("\n\n")
    assert len(coders.splitlines()) == 1 + len(CATALOGUE)
    assert re.search(r"HTTP Address +127\.0\.0\.1:1 +flag +--http-address\n", coders)
    assert re.search(r"Access URL +https://a\.example +env +CODER_ACCESS_URL\n", coders)
    assert "CODERAPI_" not in coders
    assert heading == "Settings of coderapi, from environment variables only:"
    assert len(own.splitlines()) == 1 + len(OWN_OPTIONS)
    assert re.search(r"CODERAPI_WIRE_FORMAT +coderd +env +CODERAPI_WIRE_FORMAT\n", own)
    assert re.search(r"CODERAPI_CSP_RATE_LIMIT +6000 +default\n", own)
    assert re.search(r"DATABASE_URL +\(secret\) +env +DATABASE_URL_FILE\n", own)
    assert "MARKER" not in output.out


def test_json_has_typed_values() -> None:
    names = ("session-duration", "CODERAPI_WEB_THREADS", "DATABASE_URL")
    output = Output("options", "--json", "--session-duration", "2h", "--", *names)
    members = ("name", "own", "value", "value_source", "set_by")
    assert [json.loads(line) for line in output.out.splitlines()] == [
        dict(zip(members, values, strict=True))
        for values in (
            ("Session Duration", False, 7_200_000_000_000, "flag", "--session-duration"),
            ("DATABASE_URL", True, None, "", ""),
            ("CODERAPI_WEB_THREADS", True, 8, "default", ""),
        )
    ]


def test_environment_overrides_the_env_file(tmp_path: Path) -> None:
    file = tmp_path / "env"
    (error,) = Output("options", CODERAPI_ENV_FILE=str(file)).errors
    assert "cannot be" in error
    file.write_text("a: MARKER\n")
    (error,) = Output("options", CODERAPI_ENV_FILE=str(file)).errors
    assert (":1: is neither" in error, "MARKER" in error) == (True, False)
    file.write_text("# A comment\n\nCODER_VERBOSE=1\nexport CODER_BROWSER_ONLY='true'\n")
    output = Output("options", "--changed", CODERAPI_ENV_FILE=str(file), CODER_VERBOSE="false")
    assert re.search(r"Verbose +false +env", output.out)
    assert re.search(r"Browser Only +true +env", output.out)


def test_errors_of_all_sources_are_printed(tmp_path: Path) -> None:
    assert Output("options", "acces-url", "CODERAPI_WIER_FORMAT").errors == [
        "acces-url: no such option; did you mean access-url?",
        "CODERAPI_WIER_FORMAT: no such option; did you mean CODERAPI_WIRE_FORMAT?",
    ]
    file = tmp_path / "coder.yaml"
    file.write_text("networking:\n  http:\n    sessionDuration: 1y\n", encoding="utf-8")
    wrong = {"CODER_CONFIG_PATH": str(file), "CODER_PG_CONN_MAX_OPEN": "many"}
    output = Output("options", "--tls-enable=maybe", CODER_PG_AUTH="awsiamrds", **wrong)
    places = {line.partition(": ")[0] for line in output.errors}
    assert places == {"CODER_PG_CONN_MAX_OPEN", "--tls-enable", f"{file}:3:22"}
    assert len(output.errors) == 3


def test_check_prints_the_errors_of_all_files(tmp_path: Path) -> None:
    good, bad = tmp_path / "good.yaml", tmp_path / "bad.yaml"
    good.write_text("networking: {accessURL: 'https://a.example'}\n", encoding="utf-8")
    bad.write_text("a: 1\nb: 2\n", encoding="utf-8")
    output = Output("options", "--check", str(good), str(bad), str(tmp_path / "none"))
    assert [line.partition(": ")[0] for line in output.errors] == [
        *(f"{bad}:1:1", f"{bad}:2:1"),
        str(tmp_path / "none"),
    ]
    output = Output("options", "--check", str(good))
    assert (output.status, output.out) == (0, f"{good}: no mistakes\n")
    assert "Name the files to check after --check." in Output("options", "--check").errors[-1]
    assert "--changed or --json" in Output("options", "--check", "--json", str(good)).errors[-1]


def test_help_has_every_flag_in_coders_groups() -> None:
    output = Output("server", "--help")
    flags = set(re.findall(r"--[a-z0-9-]+", output.out))
    assert output.status == 0
    shown = {f"--{option.flag}": not option.hidden for option in CATALOGUE}
    assert {flag: flag in flags for flag in shown} == shown
    headings = [line for line in output.out.splitlines() if line.endswith(":")]
    paths = [f"{group.path}:" for group in GROUPS]
    assert [line for line in paths if line in headings] == [
        line for line in headings if line in paths
    ]
    assert "--verbosity" not in output.out
    for line in (
        *("  -c, --config string, $CODER_CONFIG_PATH\n", "enum[password|awsiamrds],"),
        "  --tls-enable, $CODER_TLS_ENABLE\n",
    ):
        assert line in output.out


def test_written_configuration_reads_back(tmp_path: Path) -> None:
    environ = {"CODER_ACCESS_URL": "https://a.example", "CODER_SSH_CONFIG_OPTIONS": "a=b,c=d"}
    written = Output("server", "--write-config", "--swagger-enable", **environ)
    file = tmp_path / "coder.yaml"
    file.write_text(written.out, encoding="utf-8")
    assert (written.status, Output("options", "--check", str(file)).status) == (0, 0)
    again = Output("server", "--write-config", "-c", str(file))
    first, second = (re.sub(r".*--config.*\n", "", text) for text in (written.out, again.out))
    assert first == second


def test_unknown_flags_are_printed_with_other_mistakes() -> None:
    output = Output(
        "server", "--acess-url=x", "--nothing=y", "--tls-enable=maybe", CODERAPI_WIRE_FORMAT="z"
    )
    assert output.errors[0] == "coderapi: the configuration has mistakes"
    places = {line.partition(":")[0].partition(" ")[0] for line in output.errors[1:]}
    assert places == {"--acess-url", "--nothing", "--tls-enable", "CODERAPI_WIRE_FORMAT"}


@pytest.mark.parametrize(
    ("text", "warns"),
    [("# A=b\n", False), ("A=1\nexport B=2\n", False), ("A=1\nC=3\n", True), (None, False)],
)
def test_every_command_warns_of_an_env_file_with_a_variable_that_is_not_set(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    text: str | None,
    warns: bool,
) -> None:
    file = tmp_path / ".env"
    if text is not None:
        file.write_text(text)
    monkeypatch.setattr("coderapi.startup.bootstrap.ROOT", tmp_path)
    bootstrap.prepare(["coderapi", "options"], {"A": "other", "B": ""})
    printed = capsys.readouterr().err
    assert bool(printed) is warns
    assert (f"the file {file} is not used. To use it, set" in printed) is warns
