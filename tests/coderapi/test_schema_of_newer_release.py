"""Servers, workers and commands on a database that a newer release has migrated."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest

from coderapi import __version__
from coderapi.database.schema import SCHEMA, SERVES_FROM
from tests.support.commands import manage
from tests.support.processes import Program, free_port, own_database, wait_for
from tests.support.servers.live import Server

KEY = "the-key-of-the-backup-which-is-long-enough-for-django-1234567890"
WORKS = f"has migrated the database to schema {SCHEMA + 1}. This release, {__version__}, works"
REFUSED = f"works only with releases of schema {SCHEMA + 2} and later. This release, {__version__},"


def migrated_by_a_newer_release(url: str, number: int, serves_from: int) -> None:
    with psycopg.connect(url) as connection:
        connection.execute(
            "INSERT INTO coderapi_schema VALUES (%s, %s, '9.9.9')", [number, serves_from]
        )


def test_migrate_stores_the_schema_of_the_release() -> None:
    with own_database() as url, psycopg.connect(url, autocommit=True) as connection:
        rows = connection.execute("TABLE coderapi_schema").fetchall()
        assert [row[:3] for row in rows] == [(SCHEMA, SERVES_FROM, __version__)]
        # An older release leaves the number of a newer one.
        migrated_by_a_newer_release(url, SCHEMA + 1, SERVES_FROM)
        assert manage("migrate", DATABASE_URL=url).returncode == 0
        assert connection.execute("SELECT max(number) FROM coderapi_schema").fetchone() == (
            SCHEMA + 1,
        )


def test_server_serves_on_a_newer_schema_while_it_may(tmp_path: Path) -> None:
    with own_database() as url:
        migrated_by_a_newer_release(url, SCHEMA + 1, SCHEMA)
        with Server(log=tmp_path / "log", DATABASE_URL=url) as server:
            assert server.log.read_text().count(f"The release 9.9.9 {WORKS} with it.") == 1
            answer = server.ask("/readyz")
            assert (answer.status, answer.json["migrations"]) == (200, "newer")
            migrated_by_a_newer_release(url, SCHEMA + 2, SCHEMA + 2)
            wait_for(lambda: server.get("/readyz") == 503)
            answer = server.ask("/readyz")
            assert (answer.json["status"], answer.json["migrations"]) == ("unready", "too new")
            assert REFUSED in answer.json["reason"]
            assert server.log.read_text().count(REFUSED) == 1


@pytest.mark.parametrize("command", ["server", "worker", "migrate"])
def test_schema_that_is_too_new_is_refused(command: str, tmp_path: Path) -> None:
    with own_database() as url:
        migrated_by_a_newer_release(url, SCHEMA + 2, SCHEMA + 2)
        refused = manage(
            command,
            DATABASE_URL=url,
            CODERAPI_DATA_DIR=str(tmp_path),
            CODER_HTTP_ADDRESS=f"127.0.0.1:{free_port()}",
        )
        assert refused.returncode == 1
        assert REFUSED in refused.stderr
        assert len(refused.stderr.splitlines()) == 1


def test_worker_runs_on_a_newer_schema_while_it_may(tmp_path: Path) -> None:
    with own_database() as url:
        migrated_by_a_newer_release(url, SCHEMA + 1, SCHEMA)
        worker = Program("worker", log=tmp_path / "log", DATABASE_URL=url)
        try:
            worker.wait_for_log(WORKS)
            assert worker.end() == 0
        finally:
            worker.kill_all()


def test_backup_of_a_newer_schema_is_not_restored(tmp_path: Path) -> None:
    file = str(tmp_path / "a.backup")
    with own_database() as newer, own_database() as url:
        migrated_by_a_newer_release(newer, SCHEMA + 1, SCHEMA)
        made = manage("backup", file, DATABASE_URL=newer, CODERAPI_SECRET_KEY=KEY)
        assert made.returncode == 0, made.stderr
        refused = manage("restore", file, "--yes", DATABASE_URL=url, CODERAPI_SECRET_KEY=KEY)
        assert refused.returncode == 1
        assert f"Nothing is changed: the backup has schema {SCHEMA + 1} of" in refused.stderr
