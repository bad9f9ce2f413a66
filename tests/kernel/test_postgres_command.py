"""`coderapi postgres`, in a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kernel.postgres.files import variables_of
from tests.support.commands import manage
from tests.support.databases.clusters import copy_cluster
from tests.support.processes import DEADLINE_SECONDS, PROJECT, free_port, own_database

type Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def start(open_directory: Path) -> Iterator[Start]:
    """Starts the command on the data directory, and ends it after the test."""
    started: list[subprocess.Popen[str]] = []

    def begin(*arguments: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, PROJECT / "manage.py", "postgres", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"CODERAPI_DATA_DIR": str(open_directory)},
        )
        started.append(process)
        return process

    yield begin
    for process in started:
        if process.poll() is None:
            process.terminate()
            process.communicate()


def test_served_database_answers_until_sigterm(start: Start) -> None:
    before = ended(start("url"))
    assert before.returncode == 1
    assert "is empty. `coderapi server` or `coderapi migrate` makes one there" in before.stderr

    server = start("serve")
    assert server.stdout
    assert "is ready in" in server.stdout.readline()
    running = ended(start("url"))
    assert running.stdout.startswith("postgresql://coderapi:")
    assert not running.stderr
    selected = ended(start("psql", "-Atc", "SELECT current_database()"))
    assert selected.stdout == "coderapi\n"

    server.send_signal(signal.SIGTERM)
    served = ended(server)
    assert served.returncode == 0
    assert served.stdout == "PostgreSQL is stopped.\n"
    after = ended(start("url"))
    assert after.stdout == running.stdout
    assert "PostgreSQL is not running" in after.stderr
    assert ended(start("stop")).stdout == "PostgreSQL was not running.\n"
    assert "No upgrade is needed" in ended(start("upgrade")).stdout


def test_stop_ends_serve(start: Start, open_directory: Path, migrated_cluster: Path) -> None:
    copy_cluster(migrated_cluster, open_directory)
    other, server = start("serve"), start("serve")
    for each in (other, server):
        assert each.stdout
        assert "is ready in" in each.stdout.readline()
    other.send_signal(signal.SIGTERM)
    assert "runs until the other processes that use it" in ended(other).stdout

    stopped = ended(start("stop"))

    assert stopped.stdout == "PostgreSQL is stopped.\n"
    if Path("/proc/locks").exists():
        assert f"used PostgreSQL: {server.pid} (" in stopped.stderr
    served = ended(server)
    assert served.returncode == 0
    assert "The private PostgreSQL: stopped" in served.stderr
    assert served.stdout == "PostgreSQL is stopped.\n"


def ended(process: subprocess.Popen[str]) -> subprocess.CompletedProcess[str]:
    stdout, stderr = process.communicate(timeout=DEADLINE_SECONDS)
    return subprocess.CompletedProcess(process.args, process.returncode, stdout, stderr)


# --- PostgreSQL's programs --------------------------------------------------------------------


def client(*arguments: str, url: str) -> subprocess.CompletedProcess[str]:
    return manage("postgres", *arguments, DATABASE_URL=url)


def test_dump_of_one_database_is_restored_into_another(tmp_path: Path) -> None:
    with own_database() as first, own_database(like="template1") as second:
        client("psql", "-qc", "CREATE TABLE t AS SELECT 7 n", url=first)
        dump = str(tmp_path / "a.dump")
        dumped = client("dump", "--format=custom", f"--file={dump}", url=first)
        assert (dumped.returncode, dumped.stdout, dumped.stderr) == (0, "", "")
        restored = client("restore", "--exit-on-error", dump, url=second)
        assert (restored.returncode, restored.stderr) == (0, "")
        assert client("psql", "-Atc", "SELECT n FROM t", url=second).stdout == "7\n"
        script = client("restore", "--file=-", dump, url=second).stdout
        assert "CREATE TABLE public.t" in script


def test_password_of_the_url_is_on_no_command_line() -> None:
    url = "postgresql://me:hunter2@127.0.0.1:5433/x?sslmode=disable&application_name=a"
    assert variables_of(url) == {
        "PGHOST": "127.0.0.1",
        "PGPORT": "5433",
        "PGUSER": "me",
        "PGPASSWORD": "hunter2",
        "PGDATABASE": "x",
        "PGSSLMODE": "disable",
        "PGAPPNAME": "a",
    }
    with own_database() as given:
        shown = client("psql", "-Atc", r"\! cat /proc/$PPID/cmdline", url=given)
    assert "psql" in shown.stdout
    assert "postgresql://" not in shown.stdout


def test_status_of_the_program_is_passed_on() -> None:
    url = f"postgresql://u:hunter2@127.0.0.1:{free_port()}/x"
    for arguments, status in ((("psql", "-c", "SELECT 1"), 2), (("dump",), 1)):
        done = client(*arguments, url=url)
        assert done.returncode == status
        assert "Connection refused" in done.stderr
        assert "hunter2" not in done.stderr
