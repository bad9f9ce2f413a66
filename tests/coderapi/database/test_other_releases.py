"""Databases that another release has created or migrated."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.db import connection
from django.utils import timezone

from coderapi import __version__
from coderapi.database.schema import first_difference
from kernel.db.schema_number import SCHEMA, SERVES_FROM
from tests.support.commands import error_of, succeed, write_lines
from tests.support.csp.reports import CHROME, legacy, modern
from tests.support.databases.tables import query
from tests.support.processes import Program, own_database, wait_for
from tests.support.servers.live import ANY_PORT, Server
from tests.support.stats_rows import agent_row

OLDER = "ALTER TABLE csp_report DROP COLUMN represented_reports, DROP COLUMN referrer"


ADD, ALTER = "ALTER TABLE users_user ADD", "ALTER TABLE users_user ALTER"


@pytest.mark.parametrize(
    ("change", "difference"),
    [
        ("SELECT 1", ""),
        (OLDER, "the table csp_report has no column referrer"),
        ("DROP TABLE csp_committedbatch", "the table csp_committedbatch is missing"),
        (
            f"{ALTER} name TYPE integer USING 1",
            "users_user.name has the type integer instead of varchar(128)",
        ),
        (f"{ADD} a text NOT NULL", "users_user.a needs a value in each row, but is unknown"),
        # A newer release may add these, and this release must still work.
        (f"{ADD} a text NOT NULL DEFAULT '', ADD size integer", ""),
        ("CREATE TABLE users_color (id bigint NOT NULL)", ""),
    ],
)
@pytest.mark.django_db
def test_tables_are_compared_with_the_models(change: str, difference: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(change)
        assert first_difference(cursor, apps.get_models()) == difference


def test_data_moves_from_a_database_of_another_release(tmp_path: Path) -> None:
    now = timezone.now()
    times = {"received_at": now.isoformat(), "version": "2.29.0"}
    sent = [modern(type="csp-violation") | {"user_agent": CHROME, **times}]
    reports = write_lines(tmp_path / "sent.jsonl", legacy(foo="bar") | times, sent)
    sessions: tuple[dict[str, Any], ...] = (
        *({}, {"session_count_ssh": 2}),
        {"session_counts": {"ssh": 1, "zed": 2}},
    )
    rows = write_lines(tmp_path / "rows.jsonl", *(agent_row(now, **each) for each in sessions))
    with own_database() as old, own_database() as new:
        for url in (old, new):
            if url == new:
                reports, rows = exported(old, tmp_path)
            done = succeed("import_csp_reports", reports, DATABASE_URL=url)
            assert "2 reports imported" in done
            done = succeed("import_agent_stats", rows, DATABASE_URL=url)
            assert "3 agent rows imported" in done
        assert stored(new) == stored(old)


def exported(url: str, folder: Path) -> list[str]:
    """Makes the database one of another release. Returns the files that the commands wrote."""
    query(url, OLDER)
    for command in (["migrate"], ["server", "--http-address", ANY_PORT]):
        refused = error_of(*command, DATABASE_URL=url, CODERAPI_DATA_DIR=str(folder))
        assert "cannot use the database: the table csp_report has no column" in refused
        for name in ("export_audit", "export_csp_reports", "export_agent_stats"):
            assert f"coderapi {name} >" in refused
    files = []
    for name in ("export_csp_reports", "export_agent_stats"):
        files.append(folder / f"{name}.jsonl")
        files[-1].write_text(succeed(name, DATABASE_URL=url))
    succeed("export_audit", DATABASE_URL=url)
    return [str(file) for file in files]


def stored(url: str) -> list[object]:
    columns = (
        "received_at, occurred_at, format, document_uri, blocked_uri, disposition, status_code,"
        " effective_directive, line_number, user_agent, browser, version_name, other_members,"
        " original_policy, sample, source_file"
    )
    rows = "SELECT to_jsonb(t) FROM stats_agentstat t ORDER BY id"
    return [query(url, f"SELECT {columns} FROM csp_report ORDER BY id"), query(url, rows)]  # noqa: S608


WORKS = f"has migrated the database to schema {SCHEMA + 1}. This release, {__version__}, works"
REFUSED = f"works only with releases of schema {SCHEMA + 2} and later. This release, {__version__},"


def migrated_by_a_newer_release(url: str, number: int, serves_from: int) -> None:
    query(url, "INSERT INTO coderapi_schema VALUES (%s, %s, '9.9.9')", number, serves_from)


def test_migrate_stores_the_schema_of_the_release() -> None:
    with own_database() as url:
        rows = query(url, "TABLE coderapi_schema")
        assert [row[:3] for row in rows] == [(SCHEMA, SERVES_FROM, __version__)]
        # An older release leaves the number of a newer one.
        migrated_by_a_newer_release(url, SCHEMA + 1, SERVES_FROM)
        succeed("migrate", DATABASE_URL=url)
        assert query(url, "SELECT max(number) FROM coderapi_schema") == [(SCHEMA + 1,)]


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


@pytest.mark.parametrize(
    "command",
    [
        *(f"server --http-address={ANY_PORT}", "worker", "migrate"),
        *("export_audit", "list_csp_groups", "list_csp_groups --json"),
    ],
)
def test_schema_that_is_too_new_is_refused(command: str, tmp_path: Path) -> None:
    with own_database() as url:
        migrated_by_a_newer_release(url, SCHEMA + 2, SCHEMA + 2)
        refused = error_of(*command.split(), DATABASE_URL=url, CODERAPI_DATA_DIR=str(tmp_path))
    assert (REFUSED in refused, len(refused.splitlines())) == (True, 1)


def test_worker_runs_on_a_newer_schema_while_it_may(tmp_path: Path) -> None:
    with own_database() as url:
        migrated_by_a_newer_release(url, SCHEMA + 1, SCHEMA)
        with Program("worker", log=tmp_path / "log", DATABASE_URL=url) as worker:
            worker.wait_for_log(WORKS)
            assert worker.end() == 0


def test_backup_of_a_newer_schema_is_not_restored(tmp_path: Path) -> None:
    file, key = str(tmp_path / "a.backup"), {"CODERAPI_SECRET_KEY": "0123456789" * 6}
    with own_database() as newer, own_database() as url:
        migrated_by_a_newer_release(newer, SCHEMA + 1, SCHEMA)
        succeed("backup", file, DATABASE_URL=newer, **key)
        refused = error_of("restore", file, "--yes", DATABASE_URL=url, **key)
    assert f"Nothing is changed: the backup has schema {SCHEMA + 1} of" in refused
