"""Every documented call of every command runs, with each format of its output."""

from __future__ import annotations

import csv
import gzip
import json
import os
import re
import shlex
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from django.core.management import CommandError, call_command, get_commands, load_command_class
from django.utils import timezone

from csp.services import create_ingest_key
from deployment.history import record
from deployment.models import ConfigRevision
from options.configuration import load
from options.redaction import snapshot
from options.sources.flags import parse_flags
from tests.support.channels import ACTOR, make_channel
from tests.support.coder.stand_in import Key, Person, StandInCoder
from tests.support.coder.tables import coder_database
from tests.support.commands import MANAGE, execute, write_lines
from tests.support.csp.groups import make_group
from tests.support.csp.reports import legacy, modern
from tests.support.factories import make_key, make_user
from tests.support.processes import PROJECT, own_database
from tests.support.stats_rows import SESSIONS, agent_row, workspace_row

DOCUMENT = (PROJECT / "docs/commands.md").read_text()
CALLS = re.findall(r"^\* Example: `coderapi (\w+) ?(.*)`$", DOCUMENT, re.MULTILINE)
GROUP = "0b2d7c51-6a3f-4c0e-9f57-2f8a4f6d1c22"
TIME = "2026-01-31T12:00:00Z"
COUNTS = [f"session_count_{family}" for family in SESSIONS]
CODER, SHOP = "https://coder.example.com", "https://shop.example.com"
# These run until they are stopped. Their flags are parsed without Django's settings.
SERVERS = {"server", "worker"}
# These replace the database, or start a program that has a connection of its own.
ON_OTHER_DATABASES = {"backup", "migrate", "postgres", "restore"}
# The status 1 of these is a result: reports of a new version, a failed check, or a difference.
FINDS = {"check_csp_gate", "check_coder", "options"}


def formats_of(name: str, line: str) -> Iterator[str]:
    """Yields the call as it is documented, and with `--json` if the command has this option."""
    yield line
    parser = load_command_class(get_commands()[name], name).create_parser("coderapi", name)
    words = shlex.split(re.split(r"(?:^| )[<>]", line)[0])
    if "--json" not in line:
        try:
            parser.parse_args([*words, "--json"])
        except CommandError:
            return
        if not (name == "options" and "--check" in line):
            yield re.sub(r"(?=$| [<>])", " --json", line, count=1).strip()


IN_PROCESS = [
    pytest.param(name, call, id=f"{name} {call}")
    for name, line in CALLS
    if name not in SERVERS | ON_OTHER_DATABASES
    for call in formats_of(name, line)
    if call == line or (name, call) not in CALLS
]


@pytest.fixture(scope="module")
def coders_database(django_db_setup: None) -> Iterator[str]:
    with coder_database(timezone.now()) as (url, _):
        yield url


@pytest.fixture
def coder(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[StandInCoder]:
    with StandInCoder() as coder:
        token = coder.add(Key(Person("service", ("owner",)))).token
        settings.CODER_URL, settings.CODER_TOKEN = coder.url, token
        monkeypatch.setenv("CODER_SESSION_TOKEN", token)
        yield coder


@pytest.fixture
def world(
    collecting: None, coders_database: str, settings: Any, outbox: Any, tmp_path: Path
) -> Callable[[str], None]:
    """Returns a function that makes what the examples of a command name, in a new directory."""

    def make(name: str) -> None:
        now = timezone.now()
        settings.CODER_DATABASE_URL = coders_database
        user = make_user("owner", **({} if name == "create_user" else {"username": "alice"}))
        make_user("owner")
        make_key(user, token_name="a token")
        call_command("token_policy", "set", "--deployment", "--max-lifetime", "90d")
        if name != "create_ingest_key":
            create_ingest_key(name="staging", origins=[CODER, SHOP], actor=ACTOR, now=now)
        make_channel("ops@example.com", now=now, type="email")
        make_group(id=GROUP, last_seen=now, first_seen=now)
        for number, verbose in enumerate(("true", "false"), 1):
            found = record(snapshot(load({"CODER_VERBOSE": verbose}), key="x"), now=now)
            assert found
            ConfigRevision.objects.filter(pk=found.pk).update(id=number)
        write_files(tmp_path)
        versions = ("2.28.1", "2.29.0", "1.4.0", "1.5.0-rc.1")
        seen = [legacy(document_uri=SHOP) | {"version": version} for version in versions]
        call_command("import_csp_reports", write_lines(tmp_path / "seen.jsonl", *seen))

    return make


def write_files(place: Path) -> None:
    rows, workspaces = [agent_row(timezone.now(), **dict.fromkeys(COUNTS, 0))], [workspace_row(1)]
    place.joinpath("password.txt").write_text("correct-horse-battery-staple\n")
    place.joinpath("coder.yaml").write_text("networking: {http: {sessionDuration: 2h}}\n")
    write_lines(place / "reports.jsonl", legacy(), [modern()])
    write_lines(place / "workspaces.jsonl", *workspaces)
    place.joinpath("rows.jsonl.gz").write_bytes(gzip.compress(json.dumps(rows[0]).encode()))
    for name, listed in (("rows", rows), ("workspaces", workspaces)):
        text = StringIO()
        writer = csv.DictWriter(text, list(listed[0]))
        writer.writeheader()
        writer.writerows(listed)
        place.joinpath(f"{name}.csv").write_text(text.getvalue())
        place.joinpath(f"{name}.csv.gz").write_bytes(gzip.compress(text.getvalue().encode()))


@pytest.mark.parametrize(("name", "line"), IN_PROCESS)
def test_documented_call_runs(
    name: str,
    line: str,
    world: Callable[[str], None],
    coder: StandInCoder,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    world(name)
    words, _, typed = line.partition("<")
    # Older agent rows are not kept.
    here = words.replace(CODER, coder.url).replace(
        TIME, f"{timezone.now() - timedelta(hours=1):%FT%TZ}"
    )
    arguments = shlex.split(here.partition(">")[0])
    output, error = StringIO(), None
    try:
        with Path(typed or "password.txt").open() as stdin, patch("sys.stdin", stdin):
            call_command(name, *arguments, stdout=output, stderr=StringIO())
    except CommandError as found:
        error = found
    assert error is None or (name in FINDS and error.returncode == 1 and str(error)), error
    if "--json" in line or name.startswith("export_"):
        lines = [json.loads(text) for text in output.getvalue().splitlines()]
        assert all(isinstance(each, dict | list) for each in lines)


def test_documented_calls_with_a_database_of_their_own_run(
    django_db_setup: None, tmp_path: Path
) -> None:
    with own_database() as url:
        environ = {**os.environ, "DATABASE_URL": url}
        for name, line in CALLS:
            if name in ON_OTHER_DATABASES:
                command = [sys.executable, MANAGE, name, *shlex.split(line)]
                done = execute(command, cwd=tmp_path, env=environ, typed="yes\n")
                assert done.returncode == 0, (line, done.stderr)


@pytest.mark.parametrize("line", [line for name, line in CALLS if name in SERVERS])
def test_documented_flags_of_a_server_are_valid(
    line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_files(tmp_path)
    found = parse_flags(shlex.split(line))
    assert set(found.rest) <= {"--web-only"}
    assert load({}, flags=found.settings).options
