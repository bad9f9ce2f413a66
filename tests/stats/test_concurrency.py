"""Concurrent writers, builders, collectors and pruning."""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from threading import Event
from typing import Any

import psycopg
import pytest
from django.db import connection
from django.utils import timezone

from kernel.db.connections import connect_directly
from stats.ingest.members import AGENT_COLUMNS
from stats.rollups.builder import build
from stats.services import SnapshotError, backfill, collect_snapshot
from tests.support.commands import run, write_lines
from tests.support.concurrency import closing, waiting_for_locks
from tests.support.processes import wait_for
from tests.support.stats_rows import HOUR, MINUTE, SECOND, Deployment, agent_row, agrees, drop_hours

pytestmark = pytest.mark.django_db(transaction=True)
REPLACED = {"id": "%(id)s", "agent_id": "%(agent_id)s"}
COPY_ROW = f"""
INSERT INTO stats_agentstat ({", ".join(AGENT_COLUMNS)})
SELECT {", ".join(REPLACED.get(name, name) for name in AGENT_COLUMNS)} FROM stats_agentstat
"""  # noqa: S608 - the names are constants


@pytest.fixture
def deployment() -> Deployment:
    drop_hours()
    deployment = Deployment()
    deployment.now = timezone.now()
    assert deployment.client.token
    return deployment


@pytest.fixture
def other() -> Iterator[psycopg.Connection[Any]]:
    """Opens another connection in a transaction."""
    with connect_directly() as connected:
        connected.execute("SET lock_timeout = '3s'")
        connected.autocommit = False
        yield connected


def rows_of(now: datetime, number: int) -> list[dict[str, Any]]:
    return [
        agent_row(
            now - n % 200 * SECOND,
            agent=n % 40,
            rx_bytes=1,
            connection_median_latency_ms=n + 1,
            session_count_ssh=n % 3,
        )
        for n in range(number)
    ]


def test_the_same_rows_from_concurrent_clients_count_once(deployment: Deployment) -> None:
    run("run_job", "make_stats_partitions")
    rows = rows_of(deployment.now, 200)

    def send(number: int) -> tuple[int, int, int]:
        return closing(lambda: deployment.counts(*(rows if number % 2 else rows[::-1])))()

    with ThreadPoolExecutor(4) as pool:
        counts = list(pool.map(send, range(8)))
    assert sum(accepted for accepted, _, _ in counts) == 200
    assert sum(duplicate for _, duplicate, _ in counts) == 7 * 200
    agrees(deployment.collect(timezone.now()), rows)


@contextmanager
def meanwhile(*actions: Callable[[], Any]) -> Iterator[None]:
    """Repeats each action in a thread until the block ends."""
    over = Event()

    def repeat(action: Callable[[], Any]) -> None:
        while not over.is_set():
            action()

    with ThreadPoolExecutor(len(actions)) as pool:
        running = [pool.submit(closing(partial(repeat, action))) for action in actions]
        try:
            yield
        finally:
            over.set()
    assert [each.result() for each in running] == [None] * len(actions)


@pytest.mark.slow
def test_concurrent_writers_and_builders_lose_and_duplicate_no_row(
    deployment: Deployment, tmp_path: Path
) -> None:
    """One client reports, and two imports have common rows. All rows are in four minutes.

    The collector and the builder run all the time.
    """
    rows = rows_of(deployment.now, 3000)

    def report() -> int:
        chance = random.Random(3)  # noqa: S311 - a seed makes the same sample
        return sum(deployment.counts(*chance.sample(rows, 150))[0] for _ in range(40))

    def collect() -> None:
        now = timezone.now()
        collect_snapshot(now - 10 * SECOND, now=now)

    def import_rows(first: int, last: int) -> int:
        file = write_lines(tmp_path / f"{first}.jsonl", *rows[first:last])
        return int(run("import_agent_stats", file).split()[0].replace(",", ""))

    actions: list[Callable[[], int]] = [report]
    actions += [partial(import_rows, *part) for part in ((0, 2000), (1000, 3000))]
    with meanwhile(lambda: build(now=timezone.now()), collect), ThreadPoolExecutor(3) as pool:
        writers = [pool.submit(closing(action)) for action in actions]
        accepted = [writer.result() for writer in writers]
    assert sum(accepted) == len(rows)
    agrees(deployment.collect(timezone.now()), rows)


def test_a_row_committed_during_a_build_is_built_in_the_next_one(
    deployment: Deployment, other: psycopg.Connection[Any]
) -> None:
    """The builder does not wait for writers. The marks that it did not see stay."""
    rows = [agent_row(deployment.now - 3 * MINUTE, connection_median_latency_ms=1, rx_bytes=1)]
    deployment.take(*rows)
    late = rows[0] | {"id": str(uuid.uuid4()), "agent_id": str(uuid.UUID(int=2))}
    other.execute(COPY_ROW, late)
    other.execute(
        "INSERT INTO stats_staleminute (minute, rows_were_deleted) "
        "SELECT date_trunc('minute', created_at, 'UTC'), false FROM stats_agentstat LIMIT 1"
    )
    agrees(deployment.collect(timezone.now()), rows)
    other.commit()
    agrees(deployment.collect(timezone.now()), [*rows, late])


@pytest.mark.parametrize("commits", [True, False])
def test_closing_an_hour_waits_for_its_writers(
    deployment: Deployment, other: psycopg.Connection[Any], settings: Any, commits: bool
) -> None:
    """The hour stays open if the writer commits, and closes if it rolls back."""
    settings.STATS_AGENT_ROW_RETENTION = timedelta(hours=1)
    old = deployment.now - 5 * HOUR
    deployment.take(agent_row(old))
    run("collect_deployment_stats")
    with connection.cursor() as cursor:
        cursor.execute("UPDATE stats_rollup SET built_at = built_at - interval '2 hours'")
    other.execute(
        "SELECT * FROM stats_rollup WHERE span_seconds = 3600 AND NOT is_final FOR KEY SHARE"
    )
    other.execute(
        "INSERT INTO stats_staleminute (minute, rows_were_deleted) VALUES (%s, false)", [old]
    )
    with ThreadPoolExecutor(1) as pool:
        pruned = pool.submit(closing(lambda: run("run_job", "prune_deployment_stats")))
        wait_for(waiting_for_locks)
        (other.commit if commits else other.rollback)()
        pruned.result()
    assert deployment.counts(agent_row(old)) == ((1, 0, 0) if commits else (0, 0, 1))


@pytest.mark.slow
def test_rows_of_old_hours_are_ingested_while_hours_are_dropped(
    deployment: Deployment, settings: Any
) -> None:
    """Each row is accepted and in history, or rejected."""
    settings.STATS_AGENT_ROW_RETENTION = timedelta(hours=1)
    first = deployment.now.replace(minute=5, second=0, microsecond=0) - 30 * HOUR

    def prune() -> None:
        # Only hours, so that the update does not block the builder.
        with connection.cursor() as cursor:
            cursor.execute(
                "UPDATE stats_rollup SET built_at = built_at - interval '2 hours' "
                "WHERE span_seconds = 3600"
            )
        run("run_job", "prune_deployment_stats")

    accepted = []
    with meanwhile(prune):
        for hour in range(8):
            members: dict[str, Any] = {"rx_bytes": 1, "connection_median_latency_ms": 1}
            rows = [agent_row(first + hour * HOUR, **members) for _ in range(5)]
            accepted.append(sum(deployment.counts(row)[0] for row in rows))
            build(now=timezone.now())
    build(now=timezone.now())
    query = "SELECT sum(measured_rx_bytes) FROM stats_rollup "
    query += "WHERE span_seconds = 3600 AND starts_at = %s"
    for hour, number in enumerate(accepted):
        with connection.cursor() as cursor:
            cursor.execute(query, [(first + hour * HOUR).replace(minute=0)])
            assert cursor.fetchone() == (number,)


def test_concurrent_collectors_of_one_moment_take_one_snapshot(deployment: Deployment) -> None:
    at = deployment.now - SECOND

    def collect(_: int) -> int:
        return closing(lambda: int(collect_snapshot(at, now=timezone.now()).pk))()

    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(collect, range(4)))) == 1


def test_an_hour_closed_during_the_collection_has_no_snapshot(
    deployment: Deployment, other: psycopg.Connection[Any]
) -> None:
    """The collector waits for the transaction that closes the hour."""
    at = deployment.now - 3 * MINUTE
    deployment.take(agent_row(at))
    run("collect_deployment_stats")
    other.execute("SELECT * FROM stats_rollup WHERE span_seconds = 3600 FOR UPDATE")
    other.execute("UPDATE stats_rollup SET is_final = true WHERE span_seconds = 3600")
    with ThreadPoolExecutor(1) as pool:
        collected = pool.submit(closing(lambda: collect_snapshot(at, now=timezone.now())))
        wait_for(lambda: waiting_for_locks() or collected.done())
        other.commit()
        with pytest.raises(SnapshotError, match="agent rows are not kept"):
            collected.result()


def test_concurrent_backfills_of_the_same_hours_share_the_work(deployment: Deployment) -> None:
    first = deployment.now - 5 * HOUR
    deployment.take(*(agent_row(first + n * MINUTE) for n in range(30)))
    ends = first + 30 * MINUTE
    one = backfill(first, ends, now=timezone.now())
    next(one)
    two = list(backfill(first, ends, now=timezone.now()))
    assert two
    assert list(one) == []
