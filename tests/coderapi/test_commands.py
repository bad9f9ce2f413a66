"""The rules for all commands: help, exit status and `--json`."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import pytest
from django.core.management import get_commands, load_command_class
from django.utils import timezone

from coderapi import bootstrap
from kernel.commands import BaseCommand, ListingCommand
from tests.support.client import APIClient
from tests.support.commands import manage, run, write_lines
from tests.support.csp_reports import legacy
from tests.support.factories import PASSWORD, make_key, make_user
from tests.support.processes import PACKAGES, PROJECT, free_port, migrated_database
from tests.support.stats_rows import agent_row, workspace_row

COMMANDS = sorted(name for name, app in get_commands().items() if app in PACKAGES)
DOCUMENT = (PROJECT / "docs" / "commands.md").read_text()
USER = "alice"

# A valid command line of each command. The tests run them in this order.
EXAMPLES = {
    "create_admin_user": f"--username {USER} --email {USER}@example.com",
    "create_session_token": f"--user {USER}",
    "list_tokens": "",
    "token_policy": f"explain {USER}",
    "expire_tokens": "--all --dry-run",
    "erase_user": f"{USER} --dry-run",
    "export_audit": "",
    "create_ingest_key": "--origin https://coder.example.com --name site",
    "retire_ingest_key": "site --at 2999-01-01",
    "import_csp_reports": "reports.jsonl",
    "csp_advice": "",
    "csp_alert": "",
    "csp_top": "",
    "csp_audit": "",
    "prune_csp_reports": "--dry-run",
    "import_agent_stats": "rows.jsonl",
    "import_workspaces": "workspaces.jsonl",
    "collect_deployment_stats": "",
    "rebuild_stats": "--since 2026-01-31",
    "config_history": "",
    "run_job": "prune_job_runs",
    "options": "--changed",
    "postgres": "psql -Atc 'SELECT 1'",
    "backup": "coderapi.backup",
    "restore": "coderapi.backup --yes",
    "make_documents": "--check",
    "beside_coder": "check",
    "server": "--write-config",
    "worker": "",
}
# These need no database, or wait for it.
WITHOUT_DATABASE = {"beside_coder", "make_documents", "options", "server", "worker"}
# They open the database themselves, and have their own messages.
CLIENTS = {"backup", "postgres", "restore"}
ENDLESS = {"worker"}


class Ended(NamedTuple):
    status: int
    out: str
    err: str


def line(name: str) -> list[str]:
    return [name, *shlex.split(EXAMPLES[name])]


def command(name: str) -> BaseCommand:
    found = load_command_class(get_commands()[name], name)
    assert isinstance(found, BaseCommand)
    return found


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the files that the commands read."""
    found = tmp_path_factory.mktemp("files")
    write_lines(found / "reports.jsonl", legacy())
    write_lines(found / "rows.jsonl", agent_row(timezone.now()))
    write_lines(found / "workspaces.jsonl", workspace_row(1))
    return found


def ended(name: str, directory: Path, environ: dict[str, str], *, abandoned: bool = False) -> Ended:
    """Runs the command. If `abandoned` is true, its output is a closed pipe."""
    reader, writer = os.pipe()
    if abandoned:
        os.close(reader)
    with os.fdopen(writer, "w") as pipe:
        process = subprocess.Popen(
            [sys.executable, PROJECT / "manage.py", *line(name)],
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


def test_every_command_has_an_example_here() -> None:
    assert sorted(EXAMPLES) == COMMANDS


# --- Help and invalid command lines -----------------------------------------------------------


def test_help_lists_our_commands_first_with_summaries() -> None:
    ours, _, djangos = manage("help").stdout.partition("\nDjango's own commands: ")

    listed = dict(text.split(maxsplit=1) for text in ours.splitlines() if text.startswith("  "))
    assert sorted(listed) == COMMANDS
    assert listed["list_tokens"] == "Lists live tokens and sessions, without their secrets"
    assert djangos.endswith(".\n")
    assert {"flush", "migrate", "testserver"} <= set(djangos.rstrip(".\n").split(", "))
    assert manage().stdout == manage("help").stdout


@pytest.mark.parametrize("name", COMMANDS)
def test_help_is_complete(name: str) -> None:
    found = command(name)
    parser = found.create_parser("manage.py", name)
    text = parser.format_help()

    assert found.help
    assert "Examples:\n  manage.py" in text
    assert "--settings" not in text
    assert [action.dest for action in parser._actions if not (action.help or action.choices)] == []


@pytest.mark.parametrize("name", sorted(set(COMMANDS) - {"server", "worker", "options"}))
def test_examples_in_the_help_are_valid(name: str) -> None:
    found = command(name)

    assert found.examples
    for example in found.examples.splitlines():
        arguments = shlex.split(example.partition(" <")[0])
        found.create_parser("manage.py", name).parse_args(arguments)


@pytest.mark.parametrize("name", sorted(set(COMMANDS) - {"server", "worker", "options"}))
def test_wrong_option_ends_with_two(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as raised:
        command(name).run_from_argv(["manage.py", name, "--no-such-option"])

    assert raised.value.code == 2
    assert f"manage.py {name}: error: " in capsys.readouterr().err


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
        ("create_session_token --user x --lifetime soon", "--lifetime 'soon'"),
        ("collect_deployment_stats --every 5m", "--every can only be used with"),
        ("list_tokens --scope nope", "--scope 'nope' is not a scope. Scopes: api_key:*, "),
        (
            "expire_tokens --scope nope --dry-run",
            "--scope 'nope' is not a scope. Scopes: api_key:*, ",
        ),
        ("export_audit --action nope", "--action 'nope' does not exist"),
        ("token_policy set --role auditor", "Add at least one limit"),
        ("csp_top --limit x", "--limit: 'x' is not a number from 1 to 100,000"),
        ("export_audit --since yesterday", "'yesterday' is neither a day nor a time"),
        ("postgres stop now", "stop takes no arguments, but got now."),
        ("token_policy set --deployment --max-live x", "--max-live 'x'"),
        ("rebuild_stats --since 2999-01-01", "must be in the past"),
    ],
)
def test_wrong_value_ends_with_two(
    arguments: str, error: str, capsys: pytest.CaptureFixture[str]
) -> None:
    name, *others = shlex.split(arguments)
    with pytest.raises(SystemExit) as raised:
        command(name).run_from_argv(["manage.py", name, *others])

    assert raised.value.code == 2
    assert error in capsys.readouterr().err


# --- Without a database -----------------------------------------------------------------------


def test_unreachable_database_is_one_line(directory: Path) -> None:
    names = [name for name in EXAMPLES if name not in WITHOUT_DATABASE | CLIENTS]
    url = f"postgresql://somebody:hunter2@127.0.0.1:{free_port()}/none"
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda name: ended(name, directory, {"DATABASE_URL": url}), names))

    for name, done in zip(names, found, strict=True):
        assert done.status == 1, name
        assert "manage.py: the database cannot be used: connection failed" in done.err, name
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

    assert "The database does not respond yet: " in first_line
    assert cause in first_line
    assert "hunter2" not in first_line + others


def test_unmigrated_database_is_named(directory: Path) -> None:
    url = os.environ["DATABASE_URL"]
    done = ended("list_tokens", directory, {"DATABASE_URL": url})

    assert done.status == 1
    assert re.fullmatch(r"manage\.py: .* does not exist\. Run `manage\.py migrate` .*\n", done.err)


def without_database(data: Path) -> dict[str, str]:
    return {"DATABASE_URL": "", "CODERAPI_SECRET_KEY": "", "CODERAPI_DATA_DIR": str(data)}


@pytest.mark.parametrize("name", sorted(set(EXAMPLES) - WITHOUT_DATABASE - CLIENTS))
def test_missing_data_directory_is_not_created(tmp_path: Path, name: str) -> None:
    data = tmp_path / "data"
    with pytest.raises(bootstrap.StartError, match=f"{data} does not exist") as raised:
        bootstrap.prepare(["manage.py", *line(name)], without_database(data))

    assert raised.value.status == 1
    assert not data.exists()


@pytest.mark.parametrize("name", ["list_tokens", "worker", "postgres"])
def test_wrong_data_directory_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    for data in (tmp_path / "missing", tmp_path / "empty", tmp_path / "file", tmp_path):
        before = sorted(tmp_path.rglob("*"))
        done = ended(name, tmp_path, without_database(data))
        assert (done.status, done.out) == (1, "")
        assert re.fullmatch(f"manage.py.*: {data} .* CODERAPI_DATA_DIR.*\n", done.err)
        assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("name", ["migrate", "server"])
def test_data_is_not_created_among_other_files(tmp_path: Path, name: str) -> None:
    (tmp_path / "thesis.txt").touch()
    with pytest.raises(bootstrap.StartError, match=r"holds other files, such as thesis\.txt"):
        bootstrap.prepare(["manage.py", name], without_database(tmp_path))

    assert [file.name for file in tmp_path.iterdir()] == ["thesis.txt"]


# --- Closed output ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def database() -> Iterator[str]:
    with migrated_database() as url:
        # The last owner cannot be erased, so this adds another.
        another = ("--username", "root", "--email", "root@example.com")
        made = manage("create_admin_user", *another, typed=f"{PASSWORD}\n", DATABASE_URL=url)
        assert made.returncode == 0, made.stderr
        yield url


def test_every_command_ends_quietly_when_its_output_closes(directory: Path, database: str) -> None:
    for name in EXAMPLES:
        if name in ENDLESS:
            continue
        done = ended(name, directory, {"DATABASE_URL": database}, abandoned=True)
        assert done.status == 141, name
        # Jobs log at info level. There are no errors.
        assert [text for text in done.err.splitlines() if "[info]" not in text] == [], name
    # The commands have done their work.
    listed = ended("list_tokens", directory, {"DATABASE_URL": database})
    assert (listed.status, listed.err) == (0, "")
    assert listed.out.endswith("1 live key.\n")


@pytest.mark.parametrize("name", ["list_tokens", "server", "worker", "help"])
def test_help_through_head_is_quiet(name: str) -> None:
    words = [sys.executable, str(PROJECT / "manage.py"), name, "--help"]
    done = subprocess.run(
        ["bash", "-c", f"{shlex.join(words)} | head --lines 1; echo ${{PIPESTATUS[1]}}"],
        capture_output=True,
        text=True,
        check=True,
    )

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
    assert done.stderr == "manage.py: the output cannot be written: No space left on device\n"


# --- JSON -------------------------------------------------------------------------------------

LISTING = [name for name in COMMANDS if isinstance(command(name), ListingCommand)]


def test_commands_with_json_are_documented() -> None:
    section = DOCUMENT.partition("## For programs\n")[2].partition("\n## ")[0]

    assert set(re.findall(r"`([a-z_]+)`", section)) - {"export_audit"} == set(LISTING)


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
        ("token_policy show", {"rule", "max_token_lifetime", "max_live_tokens"}),
        (f"token_policy explain {USER}", {"name", "value", "rule", "explanation", "rule_values"}),
        (f"token_policy set --user {USER} --max-lifetime 1s --dry-run", {"id", "reasons"}),
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
