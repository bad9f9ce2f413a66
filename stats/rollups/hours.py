"""Opens and closes the hours of raw rows. Each open hour has a partition and a rollup.

A transaction that writes rows of an hour locks the hour's rollup row. Closing the hour waits for
that lock, so no row is written to a closed hour. The lock is a key share: writers wait neither for
each other nor for the builder.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import UTC, datetime, timedelta

from django.conf import settings
from django.db import connection, transaction

from kernel.db.partitions import PartitionedTable
from stats.models import Rollup, StaleMinute

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
# Agent clocks may run ahead by this much. Rows further in the future are rejected.
AHEAD = timedelta(minutes=5)
# Partitions are created before the first row of their hour arrives.
HOURS_AHEAD = 3
# About 40 days. Each hour is a partition with three indexes. A query that reads all partitions
# locks each of them, and the number of locks in PostgreSQL is limited.
MAX_OLD_HOURS = 1_000

AGENT_STATS = PartitionedTable("stats_agentstat", HOUR)

_ADD = """
INSERT INTO stats_rollup (
    span, start, row_count, rx_bytes, tx_bytes, buckets, counts, built_at, closed
)
SELECT 3600, unnest(%s::timestamptz[]), 0, 0, 0, '{}', '{}', %s, false ORDER BY 2
ON CONFLICT DO NOTHING
"""
_LOCK_OPEN = """
SELECT start FROM stats_rollup WHERE span = 3600 AND start = ANY(%s) AND NOT closed
ORDER BY start FOR KEY SHARE
"""


def floor(moment: datetime, span: timedelta) -> datetime:
    """Returns the start of the span that contains the moment. Spans are counted from 1970."""
    return moment - (moment - EPOCH) % span


def minute_of(moment: datetime) -> datetime:
    return moment.replace(second=0, microsecond=0)


def hour_of(moment: datetime) -> datetime:
    return moment.replace(minute=0, second=0, microsecond=0)


def hours_of(moments: Iterable[datetime]) -> set[datetime]:
    return set(map(hour_of, moments))


def kept_from(now: datetime) -> datetime:
    """Returns the first hour that the raw retention keeps. A retention of 0 keeps all hours."""
    if not settings.STATS_RAW_RETENTION:
        return EARLIEST
    # Current snapshots need the raw rows of at least one hour.
    return hour_of(now - max(settings.STATS_RAW_RETENTION, HOUR))


def keep_hours_ahead(now: datetime) -> int:
    """Creates the partitions of this hour and the next ones. Returns how many were missing."""
    before = set(AGENT_STATS.starts())
    hours = {hour_of(now) + number * HOUR for number in range(HOURS_AHEAD + 1)}
    return len(ensure_hours(hours, now=now) - before)


def ensure_hours(hours: Collection[datetime], *, now: datetime) -> set[datetime]:
    """Creates the missing partitions and rollups of the hours. Returns hours with a partition.

    Skips closed hours, and old hours while MAX_OLD_HOURS are open. Runs outside the transaction
    that writes the rows, because creating a partition locks the whole table.
    """
    present = set(AGENT_STATS.starts())
    missing = _within_limit(set(hours) - present, present, now=now)
    wanted = sorted(present & set(hours)) + missing
    if wanted:
        with connection.cursor() as cursor:
            cursor.execute(_ADD, [wanted, now])
    for hour in sorted(set(missing) - closed_among(missing)):
        AGENT_STATS.ensure(hour, hour)
        present.add(hour)
    return present & set(hours)


def _within_limit(
    missing: set[datetime], present: set[datetime], *, now: datetime
) -> list[datetime]:
    """Returns the missing hours without those beyond MAX_OLD_HOURS."""
    if not settings.STATS_RAW_RETENTION:
        return sorted(missing)
    first = kept_from(now)
    old = sorted(hour for hour in missing if hour < first)
    free = MAX_OLD_HOURS - sum(hour < first for hour in present)
    return [*old[: max(free, 0)], *(hour for hour in missing if hour >= first)]


def closed_among(hours: Collection[datetime]) -> set[datetime]:
    found = Rollup.objects.filter(span=Rollup.Span.HOUR, start__in=hours, closed=True)
    return set(found.values_list("start", flat=True))


def lock_open(hours: Collection[datetime]) -> set[datetime]:
    """Returns the open hours among these. They stay open until the transaction ends."""
    with connection.cursor() as cursor:
        cursor.execute(_LOCK_OPEN, [sorted(hours)])
        return {start.astimezone(UTC) for (start,) in cursor.fetchall()}


def mark_stale(minutes: Collection[datetime], *, rows_went: bool = False) -> None:
    """Marks minutes for the builder, which sees the marks after the transaction commits."""
    StaleMinute.objects.bulk_create(
        StaleMinute(minute=minute, rows_went=rows_went) for minute in sorted(minutes)
    )


def close_hours(now: datetime) -> int:
    """Closes expired hours and drops their raw rows. Returns how many were dropped."""
    if not settings.STATS_RAW_RETENTION:
        return 0
    hours = [hour for hour in AGENT_STATS.starts() if hour < kept_from(now)]
    for hour in hours:
        _close(hour, built_until=now - max(settings.STATS_RAW_RETENTION, HOUR))
    closed = closed_among(hours)
    for hour in sorted(closed):
        AGENT_STATS.drop(hour)
    return len(closed)


@transaction.atomic
def _close(hour: datetime, *, built_until: datetime) -> None:
    """Closes the hour unless it was built after `built_until` or has stale minutes."""
    open_hours = Rollup.objects.filter(span=Rollup.Span.HOUR, start=hour, closed=False)
    due = open_hours.filter(built_at__lte=built_until).select_for_update()
    stale = StaleMinute.objects.filter(minute__gte=hour, minute__lt=hour + HOUR)
    # Read the marks after the lock, to see those of the writers that it waited for.
    if list(due.values_list("start")) and not stale.exists():
        open_hours.update(closed=True)
