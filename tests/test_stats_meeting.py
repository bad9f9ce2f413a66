"""Transactions that bring in rows at the same time as others, or while an hour is made."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import psycopg
import pytest
from django.core.management import call_command
from django.db import connection
from django.utils import timezone

from coderapi.database import connect_directly, lock_number
from deployment.stats import importing, partitions
from deployment.stats.figures import agent_figures
from deployment.stats.ingest import ingest
from deployment.stats.models import AgentStat
from tests.factories import utc
from tests.processes import wait_for
from tests.stats_rows import agent_row

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
type Send = Callable[[list[dict[str, Any]]], str]


@pytest.fixture
def other() -> Iterator[psycopg.Connection[Any]]:
    """Another's connection, on which a transaction is begun."""
    with connect_directly() as connected:
        connected.autocommit = False
        yield connected


def waiting() -> bool:
    with connection.cursor() as cursor:
        cursor.execute(WAITING)
        return bool(cursor.fetchone()[0])


def rows_of(now: datetime, number: int) -> list[dict[str, Any]]:
    """Rows in the order of their ids."""
    return [
        agent_row(
            now, agent=n, id=str(uuid.UUID(int=n)), rx_bytes=1, connection_median_latency_ms=1
        )
        for n in range(1, number + 1)
    ]


def as_request(rows: list[dict[str, Any]]) -> str:
    verdicts = ingest(enumerate(rows, 1), now=timezone.now(), kind="agent")
    return f"{verdicts.accepted} new, {verdicts.duplicate} known"


def as_file(rows: list[dict[str, Any]], path: Path) -> str:
    path.write_bytes(b"\n".join(map(orjson.dumps, rows)))
    said = str(call_command("import_agent_stats", str(path))).split()
    return f"{said[0]} new, {said[5]} known"


@pytest.mark.parametrize("by_file", [True, False])
def test_rows_that_another_brings_in_at_once_in_another_order_are_told(
    other: psycopg.Connection[Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    by_file: bool,
) -> None:
    """The first one to wait gives way, and finds what the other has brought."""
    monkeypatch.setattr(importing, "BATCH_ROWS", 1)
    now = timezone.now()
    kept = agent_row(now - timedelta(seconds=1), agent=9)
    ingest([(1, kept)], now=now, kind="agent")
    first, second, third = rows = rows_of(now, 3)

    def send() -> str:
        try:
            return as_file(rows, tmp_path / "rows.jsonl") if by_file else as_request(rows)
        finally:
            connection.close()

    other.execute(LIKE_IT, [second["id"], kept["id"]])
    with ThreadPoolExecutor(1) as pool:
        said = pool.submit(send)
        wait_for(waiting)
        other.execute(LIKE_IT, [first["id"], kept["id"]])
        other.rollback()
        assert said.result() == "3 new, 0 known"
    assert AgentStat.objects.count() == 4
    assert agent_figures(timezone.now()).rx_bytes == len(rows)
    assert third["id"] != second["id"]


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
    monkeypatch.setattr(importing, "BATCH_ROWS", 2)
    monkeypatch.setattr(importing, "GROUP_ROWS", 6)
    monkeypatch.setattr(importing, "GROUP_SECONDS", seconds)
    now = timezone.now()
    rows = [agent_row(now - apart * (n * 7 % 20), agent=n % 3, rx_bytes=1) for n in range(20)]
    assert as_file([*rows, {"id": 7}, *rows[:5]], tmp_path / "rows.jsonl") == "20 new, 5 known"
    assert AgentStat.objects.count() == 20
