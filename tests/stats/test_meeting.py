"""Transactions that bring in rows at the same time as others, or while an hour is made."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path
from threading import Event
from typing import Any

import orjson
import psycopg
import pytest
from django.core.management import call_command
from django.db import connection
from django.utils import timezone

from deployment.stats import importing, partitions, reading_ahead
from deployment.stats.figures import agent_figures, usage_sessions
from deployment.stats.importing import import_records
from deployment.stats.ingest import ingest
from deployment.stats.models import AgentStat
from deployment.stats.records import Record
from kernel.db.connections import connect_directly, lock_number
from tests.support.factories import utc
from tests.support.processes import wait_for
from tests.support.stats_rows import Reference, agent_row

pytestmark = pytest.mark.django_db(transaction=True)
LIKE_IT = """
INSERT INTO deployment_agentstat
SELECT (jsonb_populate_record(known, jsonb_build_object('id', %s::text))).*
FROM deployment_agentstat AS known WHERE id = %s
"""
WAITING = """
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND wait_event_type = 'Lock'
"""


@pytest.fixture
def other() -> Iterator[psycopg.Connection[Any]]:
    """Another's connection, on which a transaction is begun."""
    with connect_directly() as connected:
        # It never looks whether two wait for each other, and waits for some time only.
        connected.execute("SET deadlock_timeout = '1h'")
        connected.execute("SET lock_timeout = '3s'")
        connected.autocommit = False
        yield connected


def waiting() -> bool:
    with connection.cursor() as cursor:
        cursor.execute(WAITING)
        return bool(cursor.fetchone()[0])


def rows_of(now: datetime, number: int) -> list[dict[str, Any]]:
    """Rows in the order of their ids."""
    ids = sorted(str(uuid.uuid4()) for _ in range(number))
    return [
        agent_row(now, agent=n, id=each, rx_bytes=1, connection_median_latency_ms=1)
        for n, each in enumerate(ids)
    ]


def as_request(rows: list[dict[str, Any]]) -> str:
    verdicts = ingest(enumerate(rows, 1), now=timezone.now(), kind="agent")
    return f"{verdicts.accepted} new, {verdicts.duplicate} known"


def as_file(rows: list[dict[str, Any]], path: Path) -> str:
    path.write_bytes(b"\n".join(map(orjson.dumps, rows)))
    said = str(call_command("import_agent_stats", str(path))).split()
    return f"{said[0]} new, {said[5]} known"


@pytest.mark.parametrize(("commits", "said_at_last"), [(False, "3 new"), (True, "1 new")])
@pytest.mark.parametrize("by_file", [True, False])
def test_rows_that_another_brings_in_at_once_in_another_order_are_told(
    other: psycopg.Connection[Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    by_file: bool,
    commits: bool,
    said_at_last: str,
) -> None:
    """The one that waited first finds out that the two wait for each other, and gives way.

    The other's rows, if they stay, have another time.
    """
    monkeypatch.setattr(reading_ahead, "BATCH_ROWS", 1)
    now = timezone.now()
    kept = agent_row(now - timedelta(seconds=1), agent=9)
    ingest([(1, kept)], now=now, kind="agent")
    rows = rows_of(now, 3)

    def send() -> str:
        try:
            return as_file(rows, tmp_path / "rows.jsonl") if by_file else as_request(rows)
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as pool:
        while True:
            other.execute(LIKE_IT, [rows[1]["id"], kept["id"]])
            said = pool.submit(send)
            wait_for(waiting)
            if gives_way_to(other, [rows[0]["id"], kept["id"]]):
                break
            assert said.result() == "3 new, 0 known"
            rows = rows_of(now, 3)
        (other.commit if commits else other.rollback)()
        assert said.result() == f"{said_at_last}, 0 known"
    assert AgentStat.objects.count() % 3 == 1
    own = AgentStat.objects.exclude(created_at=kept["created_at"]).count()
    assert agent_figures(timezone.now()).rx_bytes == own


def gives_way_to(other: psycopg.Connection[Any], ids: list[str]) -> bool:
    """Whether the first to wait gave way; else it had looked before the other waited, too."""
    try:
        other.execute(LIKE_IT, ids)
    except (psycopg.errors.LockNotAvailable, psycopg.errors.UniqueViolation):
        # Of the latter, it came back before the other had noticed.
        other.rollback()
        return False
    return True


def test_no_hour_is_made_while_rows_are_brought_in(other: psycopg.Connection[Any]) -> None:
    """Else a row that comes late to one transaction might be kept raw by another."""
    hour = utc(2011, 1, 1)

    def make() -> bool:
        try:
            partitions.ensure_hours([hour], kept_from=hour)
            return hour in partitions.AGENT_STATS.starts()
        finally:
            connection.close()

    other.execute("SELECT pg_advisory_xact_lock_shared(%s)", [lock_number(partitions.LOCK)])
    with ThreadPoolExecutor(1) as pool:
        made = pool.submit(make)
        wait_for(waiting)
        assert hour not in partitions.AGENT_STATS.starts()
        other.rollback()
        assert made.result()
    assert partitions.AGENT_STATS.drop_before(hour + partitions.HOUR)


@pytest.mark.parametrize("seconds", [0.0, 3.0])
@pytest.mark.parametrize("apart", [timedelta(seconds=1), timedelta(minutes=25)])
def test_an_import_may_be_of_any_hours_in_any_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, apart: timedelta, seconds: float
) -> None:
    monkeypatch.setattr(reading_ahead, "BATCH_ROWS", 2)
    monkeypatch.setattr(importing, "GROUP_ROWS", 6)
    monkeypatch.setattr(importing, "GROUP_SECONDS", seconds)
    now = timezone.now()
    rows = [
        agent_row(
            now - apart * (n * 7 % 20),
            agent=n % 3,
            rx_bytes=2**n,
            connection_median_latency_ms=n,
            session_count_ssh=n,
            usage=n % 2 == 0,
        )
        for n in range(20)
    ]
    assert as_file([*rows, {"id": 7}, *rows[:5]], tmp_path / "rows.jsonl") == "20 new, 5 known"
    assert AgentStat.objects.count() == 20
    for at in (now, now + timedelta(minutes=1)):
        reference, figures = Reference(rows, at), agent_figures(at)
        assert figures.rx_bytes == reference.traffic("rx_bytes")
        assert figures.latency_p95 == pytest.approx(reference.percentile(0.95))
        assert figures.session_counts == reference.sessions()
        assert usage_sessions(at) == reference.usage_sessions()


def test_an_import_whose_next_rows_are_slow_to_come_holds_nothing_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(reading_ahead, "BATCH_ROWS", 1)
    monkeypatch.setattr(importing, "GROUP_SECONDS", 0.1)
    come = Event()

    def records() -> Iterator[Record]:
        for number, row in enumerate(rows_of(timezone.now(), 3), 1):
            yield Record(number, orjson.dumps(row), orjson.loads)
            if number == 2:
                come.wait()

    def take() -> int:
        try:
            counts = import_records(
                records(),
                kind="agent",
                clock=timezone.now,
                advance=lambda records, checksum: None,
                set_aside=lambda rejection, text: None,
            )
            return counts.accepted
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as pool:
        taken = pool.submit(take)
        try:
            wait_for(lambda: AgentStat.objects.count() == 2)
        finally:
            come.set()
        assert taken.result() == 3
