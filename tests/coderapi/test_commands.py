"""The rules for all commands: help, exit status and `--json`."""

from __future__ import annotations

import json
import os
import re
import shlex
import sys
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
from django.core.management import get_commands, load_command_class

from bin.commands_reference import commands_reference
from coderapi.startup import bootstrap
from kernel.commands import BaseCommand, shown_arguments
from tests.support.api.client import APIClient
from tests.support.commands import MANAGE, execute, manage, run, succeed, write_lines
from tests.support.csp.reports import legacy
from tests.support.factories import make_key, make_user
from tests.support.processes import PACKAGES, PROJECT, Program, free_port, own_database
from tests.support.servers.live import ANY_PORT

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


def ended(line: str, directory: Path, *before: str, **environ: Any) -> CompletedProcess[str]:
    """Runs the command line, by the program `before` it if that is given."""
    command = [*before, sys.executable, MANAGE, *shlex.split(line)]
    typed = "correct-horse-battery-staple\n"
    return execute(command, cwd=directory, env={**os.environ, **environ}, typed=typed)


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


def test_help_lists_our_commands_first_with_summaries() -> None:
    ours, _, djangos = manage("help").stdout.partition("\nDjango's own commands: ")
    listed = dict(text.split(maxsplit=1) for text in ours.splitlines() if text.startswith("  "))
    assert sorted(listed) == COMMANDS
    assert listed["list_tokens"] == "Lists live tokens and sessions, without their secrets"
    assert listed["check_coder"] == "Checks the setup beside a Coder deployment"
    assert max(map(len, listed.values())) < 120
    assert djangos.endswith(".\n")
    named = set(djangos.rstrip(".\n").split(", "))
    assert ({"shell", "sqlmigrate"} <= named, named & {"flush", "loaddata"}) == (True, set())
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
def test_wrong_option_ends_with_two(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert error_with_two(name, "--no-such-option", capsys).startswith("usage: ")


def error_with_two(name: str, line: str, capsys: pytest.CaptureFixture[str]) -> str:
    """Runs a command that ends with the status of a wrong command line. Returns its errors."""
    with pytest.raises(SystemExit) as raised:
        command(name).run_from_argv(["coderapi", name, *shlex.split(line)])
    found = capsys.readouterr().err
    assert (raised.value.code, f"coderapi {name}" in found, ": error: " in found) == (2, True, True)
    return found


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


NO_SCOPE = "--scope: 'nope' is not a scope. Scopes: api_key:*, "


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("name", "arguments", "error"),
    [
        ("expire_tokens", "--all", "Add a --reason for the audit trail."),
        ("create_token", "--user x --lifetime soon", "--lifetime: 'soon'"),
        ("collect_deployment_stats", "--every 5m", "--every and --until can only be used"),
        ("list_tokens", "--scope nope", NO_SCOPE),
        ("expire_tokens", "--scope nope --dry-run", NO_SCOPE),
        ("export_audit", "--action nope", "--action: invalid choice: 'nope'"),
        ("create_user", "--username a --email a@b.co --role x", "--role: invalid choice: 'x'"),
        ("set_roles", "alice auditor x", "ROLE: invalid choice: 'x'"),
        ("token_policy", "set --role auditor", "Add at least one limit"),
        ("list_csp_groups", "--limit x", "is not a number from 1 to 100,000"),
        ("list_csp_groups", "--limit 0", "is not a number from 1 to 100,000"),
        ("export_audit", "--since yesterday", "'yesterday' is neither a day nor a time"),
        ("postgres", "stop now", "stop takes no arguments, but got now."),
        (
            "token_policy",
            "set --deployment --max-live-tokens x",
            "--max-live-tokens: 'x' is not a number",
        ),
    ],
)
def test_wrong_value_ends_with_two(
    name: str, arguments: str, error: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert error in error_with_two(name, arguments, capsys)


def test_unreachable_database_is_one_line(directory: Path) -> None:
    url = f"postgresql://somebody:hunter2@127.0.0.1:{free_port()}/none"
    for name in ("list_tokens", "import_csp_reports reports.jsonl", "run_job prune_job_runs"):
        done = ended(name, directory, DATABASE_URL=url)
        [line] = [text for text in done.stderr.splitlines() if "%|" not in text]
        cause = "coderapi: the database cannot be used: connection failed"
        assert (done.returncode, line.startswith(cause)) == (1, True), name
        assert ("Connection refused" in line, "hunter2" in line + done.stdout) == (True, False), (
            name
        )


@pytest.mark.parametrize(
    ("place", "cause"),
    [("127.0.0.1:1", "Connection refused"), ("nowhere.invalid", "'nowhere.invalid'")],
)
def test_server_logs_why_it_waits_for_the_database(tmp_path: Path, place: str, cause: str) -> None:
    url = f"postgresql://somebody:hunter2@{place}/none"
    more = {"DATABASE_URL": url, "CODERAPI_DATA_DIR": str(tmp_path)}
    with Program("server", f"--http-address={ANY_PORT}", log=tmp_path / "log", **more) as server:
        server.wait_for_log("Waiting for the database, at most 30 s: ")
        server.end()
        logged = server.log.read_text()
    assert (cause in logged.splitlines()[0], "hunter2" in logged) == (True, False)


def test_unmigrated_database_is_named(directory: Path) -> None:
    done = ended("list_tokens", directory, DATABASE_URL=os.environ["DATABASE_URL"])
    assert done.returncode == 1
    assert re.fullmatch(r"coderapi: .* does not exist\. Run `coderapi migrate` .*\n", done.stderr)


def without_database(data: Path) -> dict[str, Any]:
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
    done = ended(command_line, tmp_path, **without_database(tmp_path / data))
    assert (done.returncode, done.stdout) == (1, "")
    assert re.fullmatch(f"coderapi.*: {tmp_path / data} .* CODERAPI_DATA_DIR.*\n", done.stderr)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("arguments", [["migrate"], ["server", "--http-address=127.0.0.1:0"]])
def test_data_is_not_created_among_other_files(tmp_path: Path, arguments: list[str]) -> None:
    (tmp_path / "thesis.txt").touch()
    with pytest.raises(bootstrap.StartError, match=r"holds other files, such as thesis\.txt"):
        bootstrap.prepare(["coderapi", *arguments], without_database(tmp_path))
    while bootstrap.claims:
        bootstrap.claims.pop().socket.close()
    assert [file.name for file in tmp_path.iterdir()] == ["thesis.txt"]


# Runs a program whose output is a pipe that nobody reads.
CLOSED = (
    *(sys.executable, "-c"),
    "import os, sys; reader, writer = os.pipe(); os.close(reader); os.dup2(writer, 1);"
    "os.execv(sys.argv[1], sys.argv[1:])",
)


def test_commands_end_quietly_when_their_output_closes(directory: Path) -> None:
    with own_database() as url:
        for line in WRITING:
            done = ended(line, directory, *CLOSED, DATABASE_URL=url)
            # Jobs log at info level. There are no errors.
            errors = [text for text in done.stderr.splitlines() if "[info]" not in text]
            assert (done.returncode, errors) == (141, []), line
        # The commands have done their work.
        assert "cdn.example.net" in succeed("list_csp_groups", "--json", DATABASE_URL=url)


@pytest.mark.parametrize("name", ["list_tokens", "server"])
def test_help_through_head_is_quiet(name: str) -> None:
    words = [sys.executable, str(PROJECT / "manage.py"), name, "--help"]
    script = f"{shlex.join(words)} | head --lines 1; echo ${{PIPESTATUS[1]}}"
    done = execute(["bash", "-c", script])
    assert (done.stdout.splitlines()[-1], done.stderr) == ("0", "")


def test_full_disk_is_named() -> None:
    done = execute(["bash", "-c", f"{sys.executable} {PROJECT}/manage.py options >/dev/full"])
    full = "coderapi: the output cannot be written: No space left on device\n"
    assert (done.returncode, done.stderr) == (1, full)


@pytest.fixture
def something_to_list(member: APIClient) -> None:
    make_key(make_user("auditor", username=USER), token_name="ci")
    run("token_policy", "set", "--deployment", "--max-live-tokens", "9")


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
