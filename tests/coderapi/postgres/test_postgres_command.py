"""`coderapi postgres`, in a process of its own."""

from __future__ import annotations

import subprocess
from pathlib import Path

from coderapi import postgres
from coderapi.postgres.files import variables_of
from tests.support.commands import manage
from tests.support.databases.clusters import copy_cluster
from tests.support.processes import free_port, own_database


def test_private_database_is_used_and_stopped(open_directory: Path, migrated_cluster: Path) -> None:
    def ended(*arguments: str) -> subprocess.CompletedProcess[str]:
        own = {"CODERAPI_DATA_DIR": str(open_directory), "DATABASE_URL": ""}
        return manage("postgres", *arguments, **own)

    before = ended("url")
    assert before.returncode == 1
    assert "is empty. `coderapi server` or `coderapi migrate` makes one there" in before.stderr
    copy_cluster(migrated_cluster, open_directory)
    away = ended("url")
    assert away.stdout.startswith("postgresql://coderapi:")
    assert "PostgreSQL is not running. `coderapi server` starts it" in away.stderr
    selected = ended("psql", "-Atc", "SELECT current_database()")
    assert selected.stdout == "coderapi\n"
    assert ended("stop").stdout == "PostgreSQL was not running.\n"
    handle = postgres.acquire(open_directory)
    try:
        running = ended("url")
        assert (running.stdout, running.stderr) == (away.stdout, "")
        assert ended("stop").stdout == "PostgreSQL is stopped.\n"
        assert handle.revive() == "stopped"
    finally:
        handle.release()


def psql(*arguments: str, url: str) -> subprocess.CompletedProcess[str]:
    return manage("postgres", "psql", *arguments, DATABASE_URL=url)


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
        shown = psql("-Atc", r"\! cat /proc/$PPID/cmdline", url=given)
    assert "psql" in shown.stdout
    assert "postgresql://" not in shown.stdout


def test_status_of_psql_is_passed_on() -> None:
    done = psql("-c", "SELECT 1", url=f"postgresql://u:hunter2@127.0.0.1:{free_port()}/x")
    assert done.returncode == 2
    assert "Connection refused" in done.stderr
    assert "hunter2" not in done.stderr
