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


def value(statement: str, *values: Any) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        return cursor.fetchone()[0] if cursor.description else None


def rows() -> int:
    return int(value("SELECT count(*) FROM stats_agentstat"))


def exists(table: str) -> bool:
    return bool(value("SELECT to_regclass(%s) IS NOT NULL", table))


@contextmanager
def partition_of_another(table: str, name: str) -> Iterator[None]:
    """Makes a partition as PostgreSQL does, and drops it at the end of the block."""
    value(
        f"CREATE TABLE {name} PARTITION OF {table} FOR VALUES FROM ('1999-01-01') TO ('1999-02-01')"
    )
    try:
        yield
    finally:
        value(f"DROP TABLE {name}")


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
    name = f"csp_report_p{suffix}"
    with partition_of_another("csp_report", name):
        REPORTS.ensure(NOW, NOW)
        assert name not in REPORTS.drop_before(NOW)
        assert exists(name)


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
    with partition_of_another(table, "by_postgresql"):
        made.ensure(LONG_AGO, LONG_AGO)
        assert described(f"{table}_p200102030000") == described("by_postgresql")
        made.drop(LONG_AGO)


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


def test_writers_go_on_while_a_partition_waits_for_a_dump() -> None:
    AGENT_STATS.ensure(LONG_AGO, LONG_AGO + timedelta(hours=1))
    written = 0
    with ThreadPoolExecutor(1) as thread, reading():

        def waited_beside_a_writer() -> bool:
            """Returns whether the drop waited before and after a row was written."""
            nonlocal written
            dropping = thread.submit(AGENT_STATS.drop, LONG_AGO)
            wait_for(lambda: is_detaching() or dropping.done())
            insert(LONG_AGO + timedelta(hours=1))
            written += 1
            return is_detaching()

        wait_for(waited_beside_a_writer)
    # The last call may have dropped it when the dump ended.
    AGENT_STATS.drop(LONG_AGO)
    assert (exists(PARTITION), rows()) == (False, written)


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
    value(f"ALTER TABLE stats_agentstat DETACH PARTITION {PARTITION}")
    assert AGENT_STATS.drop_before(NOW) == []
    assert exists(PARTITION)
    # This comment is what remains if a process is killed before it drops the partition.
    value(f"COMMENT ON TABLE {PARTITION} IS '{partitions.TO_DROP}'")
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
