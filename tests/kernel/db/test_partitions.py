"""Partitions by time: creating, finding and dropping them, while other transactions are open."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from django.db import connection

from csp.models import REPORTS
from kernel.db import partitions
from kernel.db.connections import connect_directly
from stats.rollups.hours import AGENT_STATS
from tests.support.processes import wait_for

pytestmark = pytest.mark.django_db(transaction=True)

NOW = datetime(2026, 3, 6, tzinfo=UTC)
LONG_AGO = datetime(2001, 2, 3, tzinfo=UTC)
PARTITION = "stats_agentstat_p200102030000"
INSERT = """
INSERT INTO stats_agentstat
SELECT %s, %s, x, x, x, x, '{}', 0, 0, 0, 0, 0, 0, 0, 0, 0, NULL, 0, false
FROM gen_random_uuid() AS x
"""


@pytest.fixture(autouse=True)
def _no_partition_stays() -> Iterator[None]:
    yield
    for table in (REPORTS, AGENT_STATS):
        table.drop_before(NOW)


@contextmanager
def reading() -> Iterator[None]:
    """Keeps a transaction open that has read the tables, as a dump does."""
    with connect_directly() as other, other.transaction():
        other.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        other.execute("SELECT (SELECT count(*) FROM stats_agentstat), count(*) FROM csp_report")
        yield


def insert(moment: datetime) -> None:
    """Writes an agent row. Fails if it has to wait for a lock."""
    with connect_directly() as other:
        other.execute("SET lock_timeout = '50ms'")
        other.execute(INSERT, [uuid.uuid4(), moment])


def rows() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM stats_agentstat")
        return int(cursor.fetchone()[0])


def exists(table: str) -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT to_regclass(%s) IS NOT NULL", [table])
        return bool(cursor.fetchone()[0])


@pytest.mark.parametrize(
    ("moment", "name"),
    [
        (datetime(1, 1, 1, tzinfo=UTC), "csp_report_p000101010000"),
        (datetime(999, 6, 1, 12, tzinfo=UTC), "csp_report_p099906010000"),
        (datetime(2001, 2, 3, 4, 5, tzinfo=UTC), "csp_report_p200102030000"),
    ],
)
def test_partition_of_any_year_is_found_again_and_dropped(moment: datetime, name: str) -> None:
    day = moment.replace(hour=0, minute=0)
    assert REPORTS.ensure(moment, moment) == 1
    assert REPORTS.ensure(moment, moment) == 0
    assert day in REPORTS.starts()
    assert name in REPORTS.drop_before(NOW)
    assert day not in REPORTS.starts()


@pytest.mark.parametrize("suffix", ["old", "101010000", "2026010100"])
def test_partition_with_another_name_is_never_dropped(suffix: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            f"CREATE TABLE csp_report_p{suffix} PARTITION OF csp_report "
            "FOR VALUES FROM ('1999-01-01') TO ('1999-01-02')"
        )
    try:
        REPORTS.ensure(NOW, NOW)
        assert f"csp_report_p{suffix}" not in REPORTS.drop_before(NOW)
        assert exists(f"csp_report_p{suffix}")
    finally:
        with connection.cursor() as cursor:
            cursor.execute(f"DROP TABLE csp_report_p{suffix}")


def test_one_partition_is_dropped_by_its_first_moment() -> None:
    days = [datetime(2001, 2, day, tzinfo=UTC) for day in (3, 4)]
    REPORTS.ensure(*days)
    assert REPORTS.drop(days[0])
    assert [day in REPORTS.starts() for day in days] == [False, True]


def described(partition: str) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT (SELECT array_agg((attname, atttypid, attnotnull, attgenerated) ORDER BY attnum)
                    FROM pg_attribute WHERE attrelid = %(name)s::regclass AND attnum > 0),
                   (SELECT array_agg(indkey::text ORDER BY indkey::text) FROM pg_index
                    WHERE indrelid = %(name)s::regclass),
                   (SELECT array_agg(tgfoid::text ORDER BY tgname) FROM pg_trigger
                    WHERE tgrelid = %(name)s::regclass),
                   (SELECT array_agg(c ORDER BY c)
                    FROM pg_constraint, pg_get_constraintdef(oid) AS c
                    WHERE conrelid = %(name)s::regclass)
            """,
            {"name": partition},
        )
        return cursor.fetchone()


@pytest.mark.parametrize("table", ["stats_agentstat", "csp_report", "audit_entry"])
def test_attached_partition_equals_one_that_postgresql_creates(table: str) -> None:
    made = partitions.PartitionedTable(table, timedelta(days=1))
    with connection.cursor() as cursor:
        cursor.execute(
            f"CREATE TABLE by_postgresql PARTITION OF {table} "
            "FOR VALUES FROM ('1999-01-01') TO ('1999-01-02')"
        )
    try:
        made.ensure(LONG_AGO, LONG_AGO)
        assert described(f"{table}_p200102030000") == described("by_postgresql")
    finally:
        made.drop(LONG_AGO)
        with connection.cursor() as cursor:
            cursor.execute("DROP TABLE by_postgresql")


def test_partition_is_created_while_a_dump_reads_the_table() -> None:
    with reading():
        assert AGENT_STATS.ensure(LONG_AGO, LONG_AGO) == 1
        insert(LONG_AGO)
        assert rows() == 1


def is_detaching() -> bool:
    with connect_directly() as other:
        row = other.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' "
            "AND datname = current_database() AND query LIKE '%DETACH%'"
        ).fetchone()
    return row == (1,)


def test_writers_go_on_while_a_partition_waits_for_a_dump(monkeypatch: pytest.MonkeyPatch) -> None:
    AGENT_STATS.ensure(LONG_AGO, LONG_AGO + timedelta(hours=1))
    monkeypatch.setattr(partitions, "limit_lock_waits", lambda: "SELECT 1")
    with ThreadPoolExecutor(1) as thread:
        with reading():
            dropped = thread.submit(AGENT_STATS.drop, LONG_AGO)
            wait_for(is_detaching)
            insert(LONG_AGO + timedelta(hours=1))
            assert not dropped.done()
        assert dropped.result()
    assert rows() == 1


def test_dropping_gives_up_during_a_dump_and_is_finished_later() -> None:
    AGENT_STATS.ensure(LONG_AGO, LONG_AGO + timedelta(hours=1))
    insert(LONG_AGO)
    with reading():
        assert not AGENT_STATS.drop(LONG_AGO)
        # Nobody finds its rows any more.
        assert rows() == 0
        insert(LONG_AGO + timedelta(hours=1))
        assert not AGENT_STATS.drop(LONG_AGO)
        assert exists(PARTITION)
    assert AGENT_STATS.drop_before(LONG_AGO) == [PARTITION]
    assert not exists(PARTITION)
    assert rows() == 1


def test_table_that_an_operator_has_detached_stays() -> None:
    AGENT_STATS.ensure(LONG_AGO, LONG_AGO)
    with connection.cursor() as cursor:
        cursor.execute(f"ALTER TABLE stats_agentstat DETACH PARTITION {PARTITION}")
    assert AGENT_STATS.drop_before(NOW) == []
    assert exists(PARTITION)
    with connection.cursor() as cursor:
        cursor.execute(f"COMMENT ON TABLE {PARTITION} IS '{partitions.TO_DROP}'")
    # This comment is what remains if a process is killed before it drops the partition.
    assert AGENT_STATS.drop_before(NOW) == [PARTITION]


def test_partition_gives_up_a_lock_and_tries_again() -> None:
    with connect_directly() as other, ThreadPoolExecutor(1) as thread:
        with other.transaction():
            other.execute("LOCK TABLE csp_report IN SHARE UPDATE EXCLUSIVE MODE")
            made = thread.submit(REPORTS.ensure, LONG_AGO, LONG_AGO)
            wait_for(lambda: locked_out(other) > 0)
            wait_for(lambda: locked_out(other) == 0)
        assert made.result() == 1


def locked_out(other: psycopg.Connection[Any]) -> int:
    row = other.execute(
        "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'csp_report'::regclass"
    ).fetchone()
    return int(row[0]) if row else 0
