"""Makes a database with some rows in the tables of Coder that the export queries read."""

from __future__ import annotations

import random
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

import psycopg
from psycopg.types.json import Jsonb

from tests.support.coder.releases import SESSION_KINDS, V2_34, Release
from tests.support.databases.tables import END_OTHERS
from tests.support.processes import own_database
from tests.support.stats_rows import agent_row

# Clients of an earlier test may hold locks.
EMPTY = f"""
{END_OTHERS};
DROP SCHEMA public CASCADE;
CREATE SCHEMA public;
GRANT USAGE ON SCHEMA public TO PUBLIC;
"""
ERROR = 'terraform: exit status 1\n\t"/home/ä" \\ is full; 100 %'
# The transition, job times and error of a newest build, and whether the workspace is deleted.
BUILDS: list[tuple[str, str, str | None, bool]] = [
    ("start", "", None, False),
    ("start", "started", None, False),
    ("start", "started completed", None, False),
    ("start", "started completed", ERROR, False),
    ("stop", "started completed", None, False),
    ("stop", "started canceled", ERROR, False),
    ("stop", "canceled", "", False),
    ("delete", "started completed", None, True),
    ("delete", "started completed", None, False),
]
# The states of BUILDS and of the workspace without a build.
STATES = {"pending": 3, "building": 1, "running": 1, "failed": 2, "stopped": 1}


@contextmanager
def coder_database(
    now: datetime, release: Release = V2_34
) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Yields the URL of a database with Coder's tables, and its agent rows in the API's format."""
    with own_database(like="template1") as url:
        yield url, make_tables(url, now, release)


def make_tables(url: str, now: datetime, release: Release = V2_34) -> list[dict[str, Any]]:
    """Replaces the tables of the database, and returns their agent rows in the API's format.

    The returned rows have a member for each kind of session, whatever the release is.
    """
    rows = agent_rows(now)
    with psycopg.connect(url) as connection:
        connection.execute((EMPTY + release.tables).encode())
        for row in rows:
            insert_agent_row(connection, row, release)
        for number, build in enumerate(BUILDS, 1):
            _insert_workspace(connection, number, build, now=now)
        # A workspace without a build.
        insert(connection, "workspaces", {"id": uuid.UUID(int=99), "deleted": False})
    return [row | {"connections_by_proto": {}} for row in rows]


# The third of BUILDS has all agents. A snapshot counts one without a state as running.
RUNNING = str(uuid.UUID(int=3))


def agent_rows(now: datetime) -> list[dict[str, Any]]:
    chance = random.Random(16)  # noqa: S311 - a seed makes the same rows each time
    return [
        agent_row(
            now - timedelta(seconds=chance.randrange(899), microseconds=chance.randrange(999)),
            agent=chance.randrange(1, 9),
            workspace_id=RUNNING,
            # coderd writes null for an empty map.
            connections_by_proto=chance.choice([{}, None, {"TCP": 3}, {"TCP": 1, "UDP": 2}]),
            connection_count=chance.randrange(9),
            rx_packets=chance.randrange(99),
            rx_bytes=chance.randrange(2**40),
            tx_packets=chance.randrange(99),
            tx_bytes=chance.randrange(2**40),
            connection_median_latency_ms=chance.choice([-1, 5e-7, 12, chance.uniform(0, 900)]),
            session_count_vscode=chance.randrange(4),
            session_count_jetbrains=chance.randrange(4),
            session_count_reconnecting_pty=chance.randrange(4),
            session_count_ssh=chance.randrange(4),
            usage=chance.random() < 0.5,
        )
        for _ in range(60)
    ]


def _insert_workspace(
    connection: psycopg.Connection[Any],
    number: int,
    build: tuple[str, str, str | None, bool],
    *,
    now: datetime,
) -> None:
    transition, times, error, deleted = build
    workspace = uuid.UUID(int=number)
    insert(connection, "workspaces", {"id": workspace, "deleted": deleted, "name": "dev"})
    for build_number in (1, 2):
        job = uuid.UUID(int=100 * number + build_number)
        members = {
            "workspace_id": workspace,
            "build_number": build_number,
            "transition": "start" if build_number == 1 else transition,
            "job_id": job,
        }
        insert(connection, "workspace_builds", members)
        times_of_job = {
            f"{name}_at": now - timedelta(hours=3 - build_number)
            for name in (times if build_number == 2 else "started completed").split()
        }
        about = {"id": job, "updated_at": now, "error": error if build_number == 2 else None}
        insert(connection, "provisioner_jobs", about | times_of_job)


def insert_agent_row(
    connection: psycopg.Connection[Any], row: dict[str, Any], release: Release
) -> None:
    """Inserts a row as the release writes it. `row` has a member for each kind of session."""
    if release.counts_by_name:
        counts = {kind: row.get(f"session_count_{kind}", 0) for kind in SESSION_KINDS}
        row = {name: row[name] for name in row if not name.startswith("session_count_")}
        row["session_counts"] = {name: count for name, count in counts.items() if count}
    insert(connection, "workspace_agent_stats", row)


def insert(connection: psycopg.Connection[Any], table: str, row: dict[str, Any]) -> None:
    # The empty value of `connections_by_proto` is JSON's null.
    values = [
        Jsonb(value) if name in {"connections_by_proto", "session_counts"} else value
        for name, value in row.items()
    ]
    connection.execute(
        f"INSERT INTO {table} ({', '.join(row)}) VALUES ({', '.join(['%s'] * len(row))})".encode(),  # noqa: S608
        values,
    )
