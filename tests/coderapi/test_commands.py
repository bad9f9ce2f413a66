"""The rules for all commands: help, exit status and `--json`."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from django.core.management import get_commands, load_command_class

from bin.commands_reference import commands_reference
from coderapi import bootstrap
from kernel.commands import BaseCommand, shown_arguments
from tests.support.api.client import APIClient
from tests.support.commands import execute, manage, run, write_lines
from tests.support.csp.reports import legacy
from tests.support.factories import make_key, make_user
from tests.support.processes import PACKAGES, PROJECT, free_port, own_database

COMMANDS = sorted(name for name, app in get_commands().items() if app in PACKAGES)
USER = "alice"

# Command lines with different kinds of output. The first makes the user of the others.
WRITING = (
    f"create_user --role owner --username {USER} --email {USER}@example.com",
    "list_tokens",
    f"token_policy explain {USER}",
    "export_audit",
    "import_csp_reports reports.jsonl",
    "list_csp_advice",
    "collect_deployment_stats",
    "options --changed",
    "postgres psql -Atc 'SELECT 1'",
    "backup coderapi.backup",
    "server --write-config",
)
# These need no database, wait for it, create it, or open it with their own messages.
NO_DATA_DIRECTORY = {
    *("backup", "check_coder", "migrate", "options", "postgres", "restore", "server"),
}


class Ended(NamedTuple):
    status: int
    out: str
    err: str


def command(name: str) -> BaseCommand:
    found = load_command_class(get_commands()[name], name)
    assert isinstance(found, BaseCommand)
    return found


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the files that the commands read."""
    found = tmp_path_factory.mktemp("files")
    write_lines(found / "reports.jsonl", legacy())
    return found


def ended(line: str, directory: Path, environ: dict[str, str], *, abandoned: bool = False) -> Ended:
    """Runs the command line. If `abandoned` is true, its output is a closed pipe."""
    reader, writer = os.pipe()
    if abandoned:
        os.close(reader)
    with os.fdopen(writer, "w") as pipe:
        process = subprocess.Popen(
            [sys.executable, PROJECT / "manage.py", *shlex.split(line)],
            cwd=directory,
            env={**os.environ, **environ},
            stdin=subprocess.PIPE,
            stdout=pipe if abandoned else subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        if not abandoned:
            os.close(reader)
    out, err = process.communicate("correct-horse-battery-staple\n", timeout=120)
    return Ended(process.returncode, out or "", err)


# --- Help and invalid command lines -----------------------------------------------------------


def test_help_lists_our_commands_first_with_summaries() -> None:
    ours, _, djangos = manage("help").stdout.partition("\nDjango's own commands: ")
    listed = dict(text.split(maxsplit=1) for text in ours.splitlines() if text.startswith("  "))
    assert sorted(listed) == COMMANDS
    assert listed["list_tokens"] == "Lists live tokens and sessions, without their secrets"
    assert djangos.endswith(".\n")
    assert {"flush", "sqlmigrate", "testserver"} <= set(djangos.rstrip(".\n").split(", "))
    assert manage().stdout == manage("help").stdout


@pytest.mark.parametrize("name", COMMANDS)
def test_help_is_complete(name: str) -> None:
    found = command(name)
    parser = found.create_parser("coderapi", name)
    text = parser.format_help()
    assert found.help
    assert "Examples:\n  coderapi" in text
    assert "--settings" not in text
    assert [each.dest for each in shown_arguments(parser) if not (each.help or each.choices)] == []
    assert f"\n### {name}\n" in commands_reference()


@pytest.mark.parametrize("name", sorted(set(COMMANDS) - {"server", "worker", "options"}))
def test_examples_in_the_help_are_valid(name: str) -> None:
    found = command(name)
    assert found.examples
    for example in found.examples.splitlines():
        arguments = shlex.split(re.split(r"(?:^| )[<>]", example)[0])
        found.create_parser("coderapi", name).parse_args(arguments)


@pytest.mark.parametrize("name", sorted(set(COMMANDS) - {"server", "worker", "options"}))
def test_wrong_option_ends_with_two(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as raised:
        command(name).run_from_argv(["coderapi", name, "--no-such-option"])
    assert raised.value.code == 2
    assert f"coderapi {name}: error: " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ("server --no-such-option", "--no-such-option: unknown flag"),
        ("worker --http-address nonsense", "'nonsense' is not an address"),
        ("options --tls-enable=maybe", "--tls-enable: TLS Enable: 'maybe'"),
        ("list_token", "Unknown command 'list_token'. Did you mean list_tokens?"),
    ],
)
def test_wrong_command_line_before_settings_ends_with_two(arguments: str, error: str) -> None:
    done = manage(*shlex.split(arguments))
    assert (done.returncode, done.stdout) == (2, "")
    assert error in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ("expire_tokens --all", "Add a --reason for the audit trail."),
        ("create_token --user x --lifetime soon", "--lifetime 'soon'"),
        ("collect_deployment_stats --every 5m", "--every and --until can only be used"),
        ("list_tokens --scope nope", "--scope 'nope' is not a scope. Scopes: api_key:*, "),
        (
            "expire_tokens --scope nope --dry-run",
            "--scope 'nope' is not a scope. Scopes: api_key:*, ",
        ),
        ("export_audit --action nope", "--action 'nope' does not exist"),
        ("token_policy set --role auditor", "Add at least one limit"),
        *(
            (f"list_csp_groups --limit {n}", "is not a number from 1 to 100,000")
            for n in ("x", "0")
        ),
        ("export_audit --since yesterday", "'yesterday' is neither a day nor a time"),
        ("postgres stop now", "stop takes no arguments, but got now."),
        ("token_policy set --deployment --max-live x", "--max-live 'x'"),
    ],
)
def test_wrong_value_ends_with_two(
    arguments: str, error: str, capsys: pytest.CaptureFixture[str]
) -> None:
    name, *others = shlex.split(arguments)
    with pytest.raises(SystemExit) as raised:
        command(name).run_from_argv(["coderapi", name, *others])
    assert raised.value.code == 2
    assert error in capsys.readouterr().err


# --- Without a database -----------------------------------------------------------------------


def test_unreachable_database_is_one_line(directory: Path) -> None:
    names = ("list_tokens", "import_csp_reports reports.jsonl", "run_job prune_job_runs")
    url = f"postgresql://somebody:hunter2@127.0.0.1:{free_port()}/none"
    for name in names:
        done = ended(name, directory, {"DATABASE_URL": url})
        assert done.status == 1, name
        assert "coderapi: the database cannot be used: connection failed" in done.err, name
        assert "Connection refused" in done.err, name
        assert [text for text in done.err.splitlines() if "%|" not in text][1:] == [], name
        assert "hunter2" not in done.err + done.out, name


@pytest.mark.parametrize(
    ("place", "cause"),
    [("127.0.0.1:1", "Connection refused"), ("nowhere.invalid", "'nowhere.invalid'")],
)
def test_server_logs_why_it_waits_for_the_database(directory: Path, place: str, cause: str) -> None:
    url = f"postgresql://somebody:hunter2@{place}/none"
    with subprocess.Popen(
        [sys.executable, PROJECT / "manage.py", "server", f"--http-address=:{free_port()}"],
        cwd=directory,
        env={**os.environ, "DATABASE_URL": url},
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr
        first_line = process.stderr.readline()
        process.terminate()
        others = process.stderr.read()
    assert "Waiting for the database, at most 30 s: " in first_line
    assert cause in first_line
    assert "hunter2" not in first_line + others


def test_unmigrated_database_is_named(directory: Path) -> None:
    url = os.environ["DATABASE_URL"]
    done = ended("list_tokens", directory, {"DATABASE_URL": url})
    assert done.status == 1
    assert re.fullmatch(r"coderapi: .* does not exist\. Run `coderapi migrate` .*\n", done.err)


def without_database(data: Path) -> dict[str, str]:
    return {"DATABASE_URL": "", "CODERAPI_SECRET_KEY": "", "CODERAPI_DATA_DIR": str(data)}


@pytest.mark.parametrize("name", sorted(set(COMMANDS) - NO_DATA_DIRECTORY))
def test_missing_data_directory_is_not_created(tmp_path: Path, name: str) -> None:
    data = tmp_path / "data"
    with pytest.raises(bootstrap.StartError, match=f"{data} does not exist") as raised:
        bootstrap.prepare(["coderapi", name], without_database(data))
    assert raised.value.status == 1
    assert not data.exists()


@pytest.mark.parametrize(
    ("command_line", "data"),
    [
        ("list_tokens", "missing"),
        ("list_tokens", "file"),
        ("worker", "empty"),
        ("worker", "."),
        ("postgres psql", "missing"),
        ("postgres psql", "empty"),
    ],
)
def test_wrong_data_directory_is_named(tmp_path: Path, command_line: str, data: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    before = sorted(tmp_path.rglob("*"))
    done = ended(command_line, tmp_path, without_database(tmp_path / data))
    assert (done.status, done.out) == (1, "")
    assert re.fullmatch(f"coderapi.*: {tmp_path / data} .* CODERAPI_DATA_DIR.*\n", done.err)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("arguments", [["migrate"], ["server", "--http-address=127.0.0.1:0"]])
def test_data_is_not_created_among_other_files(tmp_path: Path, arguments: list[str]) -> None:
    (tmp_path / "thesis.txt").touch()
    with pytest.raises(bootstrap.StartError, match=r"holds other files, such as thesis\.txt"):
        bootstrap.prepare(["coderapi", *arguments], without_database(tmp_path))
    while bootstrap.claims:
        bootstrap.claims.pop().socket.close()
    assert [file.name for file in tmp_path.iterdir()] == ["thesis.txt"]


# --- Closed output ----------------------------------------------------------------------------


@pytest.fixture
def database() -> Iterator[str]:
    with own_database() as url:
        yield url


def test_commands_end_quietly_when_their_output_closes(directory: Path, database: str) -> None:
    for line in WRITING:
        done = ended(line, directory, {"DATABASE_URL": database}, abandoned=True)
        assert done.status == 141, line
        # Jobs log at info level. There are no errors.
        assert [text for text in done.err.splitlines() if "[info]" not in text] == [], line
    # The commands have done their work.
    found = ended("list_csp_groups --json", directory, {"DATABASE_URL": database})
    assert found.status == 0
    assert "cdn.example.net" in found.out


@pytest.mark.parametrize("name", ["list_tokens", "server"])
def test_help_through_head_is_quiet(name: str) -> None:
    words = [sys.executable, str(PROJECT / "manage.py"), name, "--help"]
    script = f"{shlex.join(words)} | head --lines 1; echo ${{PIPESTATUS[1]}}"
    done = execute(["bash", "-c", script])
    assert (done.stdout.splitlines()[-1], done.stderr) == ("0", "")


def test_full_disk_is_named() -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, PROJECT / "manage.py", "options"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr == "coderapi: the output cannot be written: No space left on device\n"


# --- JSON -------------------------------------------------------------------------------------


@pytest.fixture
def something_to_list(member: APIClient) -> None:
    make_key(make_user("auditor", username=USER), token_name="ci")
    run("token_policy", "set", "--deployment", "--max-live", "9")


@pytest.mark.django_db
@pytest.mark.usefixtures("something_to_list")
@pytest.mark.parametrize(
    ("arguments", "members"),
    [
        ("list_tokens", {"id", "user_id", "token_name", "scopes", "expires_at", "username"}),
        ("expire_tokens --all --dry-run", {"id", "last_used", "lifetime_seconds", "username"}),
        ("token_policy show", {"rule", "max_lifetime_ns", "max_live_tokens"}),
        (f"token_policy explain {USER}", {"name", "value", "rule", "explanation", "rules"}),
        (f"token_policy set --user {USER} --max-lifetime 1s --dry-run", {"id", "violations"}),
        (f"erase_user {USER} --dry-run", {"data", "rows", "outcome"}),
        ("options --changed", {"name", "own", "value", "value_source", "set_by"}),
    ],
)
def test_json_is_one_object_per_line(
    arguments: str, members: set[str], capsys: pytest.CaptureFixture[str]
) -> None:
    name, *others = shlex.split(arguments)
    lines = run(name, *others, "--json").splitlines()
    assert lines
    assert all(members <= set(json.loads(text)) for text in lines)
    assert capsys.readouterr().out == ""


@pytest.mark.django_db
def test_json_of_tokens_equals_the_apis(owner: APIClient) -> None:
    make_key(owner.user, token_name="ci")
    (answered,) = owner.get("/api/v2/users/me/keys/tokens").json()
    (listed,) = map(json.loads, run("list_tokens", "--kind", "token", "--json").splitlines())
    assert listed == answered
