"""Takes snapshots of the deployment: of the current time, or of times in the past."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from itertools import chain
from typing import Any

from django.conf import settings
from django.db import transaction

from kernel.coder.running import running_build
from kernel.db import listener
from kernel.db.connections import retry_on_conflict, transaction_lock
from kernel.text.durations import floor
from stats import statistics
from stats.models import DAY, HOUR, Snapshot
from stats.rollups.builder import TOPIC, build
from stats.rollups.hours import AGENT_STATS, EARLIEST, closed_among, hours_of, kept_from, lock_open
from stats.statistics import WINDOW

COLLECTOR_LOCK = "collect-deployment-stats"
# The maximum time for which the builder builds old hours before the current snapshot is taken.
BUILD_SECONDS = 5.0
FIVE_MINUTES = timedelta(minutes=5)
SECOND = timedelta(seconds=1)

# Returns the number of workspaces in each state at a time. Shape: {state: count}.
type CountsAt = Callable[[datetime], dict[str, int]]


class SnapshotError(Exception):
    """Raised if a snapshot cannot be taken. The message contains the reason."""


def collect_snapshot(at: datetime, *, now: datetime | None = None) -> Snapshot:
    """Returns the snapshot of the time `at`. Takes the snapshot if it does not exist.

    Raises: SnapshotError if `at` is in the future, or if its agent rows were dropped.
    """
    now = now or at
    if at > now:
        raise SnapshotError(f"{at.isoformat()} must not be in the future.")
    # For a time in the past, build all hours, because the time may be in an old hour.
    build(now=now, seconds=BUILD_SECONDS if at == now else float("inf"))
    # Outside the transaction, because the first call may wait for Coder.
    return _collected(at, now=now, buildinfo_version=running_build())


@retry_on_conflict
@transaction.atomic
def _collected(at: datetime, *, now: datetime, buildinfo_version: str) -> Snapshot:
    with transaction_lock(COLLECTOR_LOCK):
        if not _rows_are_kept(at, now=now):
            first = (kept_from(now) + WINDOW).isoformat()
            raise SnapshotError(
                f"{at.isoformat()} is too early: its agent rows are not kept. "
                f"The earliest possible time is {first}."
            )
        existing = Snapshot.objects.filter(collected_at=at).first()
        if existing:
            return existing
        started = time.monotonic()
        return _create(
            at,
            started,
            **_agent_statistics(at) | statistics.workspace_counts(at),
            own_options_digest=settings.CONFIG_SNAPSHOT.digest,
            buildinfo_version=buildinfo_version,
        )


def _rows_are_kept(at: datetime, *, now: datetime) -> bool:
    """Returns whether all agent rows of the window that ends at `at` are still stored.

    Locks the hours of the window, so that they are not closed before the transaction ends.
    """
    hours = hours_of([at - WINDOW, at])
    open_hours = lock_open(hours)
    if closed_among(hours):
        return False
    return min(hours) >= kept_from(now) or bool(open_hours)


def _create(at: datetime, started: float, **members: Any) -> Snapshot:
    listener.announce(TOPIC)
    duration_ms = (time.monotonic() - started) * 1000
    window: dict[str, Any] = {"collected_at": at, "aggregated_from": at - WINDOW}
    return Snapshot.objects.create(**window, duration_ms=duration_ms, **members)


def _agent_statistics(at: datetime) -> dict[str, Any]:
    if not settings.STATS_USAGE_ENABLED:
        return statistics.NO_AGENTS
    return statistics.agent_statistics(at)


def backfill(
    since: datetime,
    until: datetime,
    *,
    now: datetime,
    every: timedelta = FIVE_MINUTES,
    counts_at: CountsAt | None = None,
) -> Iterator[datetime]:
    """Creates the missing snapshots in [since, until), one for each interval, oldest first.

    Yields the time of each snapshot. Skips hours without agent rows, and snapshots without rows in
    their window. `counts_at` returns the workspace counts of a time. Without it, workspaces that
    reported in the window count as running.
    """
    build(now=now)
    until = min(until, now)
    hours = (hour for hour in AGENT_STATS.starts() if hour + HOUR > since and hour < until)
    for at in chain.from_iterable(_missing(hour, since, until, every=every) for hour in hours):
        if _backfill_one(at, now=now, counts_at=counts_at):
            yield at


def _missing(
    hour: datetime, since: datetime, until: datetime, *, every: timedelta
) -> Iterator[datetime]:
    """Yields the last second of each interval in this hour that has no snapshot."""
    existing = Snapshot.objects.filter(
        collected_at__gte=hour - every, collected_at__lt=hour + HOUR + every
    )
    filled = {floor(moment, every) for moment in existing.values_list("collected_at", flat=True)}
    start = floor(max(since, hour), every)
    while start < min(until, hour + HOUR):
        at = start + every - SECOND
        if start not in filled and at < until:
            yield at
        start += every


@retry_on_conflict
@transaction.atomic
def _backfill_one(at: datetime, *, now: datetime, counts_at: CountsAt | None) -> bool:
    """Takes the snapshot of a time in the past.

    Returns False if the snapshot exists, or if its agent rows were dropped.
    """
    with transaction_lock(COLLECTOR_LOCK):
        exists = Snapshot.objects.filter(collected_at=at).exists()
        if exists or not _rows_are_kept(at, now=now):
            return False
        started = time.monotonic()
        found = _agent_statistics(at)
        if not found["row_count"]:
            return False
        source = (
            Snapshot.WorkspacesMethod.BUILDS if counts_at else Snapshot.WorkspacesMethod.BACKFILL
        )
        found |= (counts_at or statistics.reporting_workspace_counts)(at)
        _create(at, started, **found, workspaces_method=source)
    return True


def backfill_counts(
    since: datetime, until: datetime, *, now: datetime, counts_at: CountsAt
) -> Iterator[int]:
    """Creates a snapshot with workspace counts for each hour in [since, until) that has none.

    The sessions of these hours are unknown. Does not create snapshots that pruning would delete at
    once. Yields the number of snapshots for each day.
    """
    oldest = now - settings.STATS_RETENTION if settings.STATS_RETENTION else EARLIEST
    since = max(since, oldest)
    day, until = floor(since, DAY), floor(min(until, now), HOUR)
    while day < until:
        found = Snapshot.objects.filter(collected_at__gte=day, collected_at__lt=day + DAY)
        filled = hours_of(found.values_list("collected_at", flat=True))
        hours = (day + number * HOUR for number in range(24))
        ends = (hour + HOUR - SECOND for hour in hours if hour not in filled)
        missing = [at for at in ends if since <= at < until]
        created = [
            Snapshot(
                collected_at=at,
                aggregated_from=at - WINDOW,
                duration_ms=0,
                workspaces_method=Snapshot.WorkspacesMethod.BUILDS,
                **statistics.NO_AGENTS | counts_at(at),
            )
            for at in missing
        ]
        Snapshot.objects.bulk_create(created, ignore_conflicts=True)
        listener.announce(TOPIC)
        yield len(created)
        day += DAY
