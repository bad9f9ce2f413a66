"""The hours of raw rows: each has a partition and a rollup, until it is closed.

Whoever writes rows of an hour holds the lock of its rollup for as long as the transaction lasts,
and whoever closes it waits for them: no row falls between. The lock is a key share, so that writers
wait neither for each other nor for the builder.
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
# Clocks of agents may run ahead by this much; rows further ahead are refused.
AHEAD = timedelta(minutes=5)
# Partitions are made before the first row of their hour comes.
HOURS_AHEAD = 3
# Each hour is a partition with three indexes, and the server has only so many locks for a query
# that must look into all of them. These are some 40 days, imported within the raw retention.
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
    """Returns the start of the span that the moment lies in; spans are counted from 1970."""
    return moment - (moment - EPOCH) % span


def minute_of(moment: datetime) -> datetime:
    return moment.replace(second=0, microsecond=0)


def hour_of(moment: datetime) -> datetime:
    return moment.replace(minute=0, second=0, microsecond=0)


def hours_of(moments: Iterable[datetime]) -> set[datetime]:
    return set(map(hour_of, moments))


def kept_from(now: datetime) -> datetime:
    """Returns the first hour whose raw rows are kept for sure: a retention of 0 keeps all."""
    if not settings.STATS_RAW_RETENTION:
        return EARLIEST
    # Snapshots of now need the raw rows of an hour at least.
    return hour_of(now - max(settings.STATS_RAW_RETENTION, HOUR))


def keep_hours_ahead(now: datetime) -> int:
    """Makes the partitions of this hour and the next ones. Returns how many were missing."""
    before = set(AGENT_STATS.starts())
    hours = {hour_of(now) + number * HOUR for number in range(HOURS_AHEAD + 1)}
    return len(ensure_hours(hours, now=now) - before)


def ensure_hours(hours: Collection[datetime], *, now: datetime) -> set[datetime]:
    """Makes what is missing of these hours. Returns those that have a partition.

    An hour that is closed is not made again, nor is an old one while there are too many. Runs
    outside the transaction that writes the rows, as making a partition locks the whole table.
    """
    present = set(AGENT_STATS.starts())
    missing = _with_room(set(hours) - present, present, now=now)
    there = sorted(present & set(hours)) + missing
    if there:
        with connection.cursor() as cursor:
            cursor.execute(_ADD, [there, now])
    for hour in sorted(set(missing) - closed_among(missing)):
        AGENT_STATS.ensure(hour, hour)
        present.add(hour)
    return present & set(hours)


def _with_room(missing: set[datetime], present: set[datetime], *, now: datetime) -> list[datetime]:
    if not settings.STATS_RAW_RETENTION:
        return sorted(missing)
    limit = kept_from(now)
    old = sorted(hour for hour in missing if hour < limit)
    room = MAX_OLD_HOURS - sum(hour < limit for hour in present)
    return [*old[: max(room, 0)], *(hour for hour in missing if hour >= limit)]


def closed_among(hours: Collection[datetime]) -> set[datetime]:
    found = Rollup.objects.filter(span=Rollup.Span.HOUR, start__in=hours, closed=True)
    return set(found.values_list("start", flat=True))


def lock_open(hours: Collection[datetime]) -> set[datetime]:
    """Keeps the open ones of these hours from closing until the transaction ends; returns them."""
    with connection.cursor() as cursor:
        cursor.execute(_LOCK_OPEN, [sorted(hours)])
        return {start.astimezone(UTC) for (start,) in cursor.fetchall()}


def mark_stale(minutes: Collection[datetime], *, rows_went: bool = False) -> None:
    """Has the builder build these minutes again, once the transaction is committed."""
    StaleMinute.objects.bulk_create(
        StaleMinute(minute=minute, rows_went=rows_went) for minute in sorted(minutes)
    )


def close_hours(now: datetime) -> int:
    """Closes the hours that are due and drops their raw rows. Returns how many were dropped."""
    if not settings.STATS_RAW_RETENTION:
        return 0
    limit = kept_from(now)
    hours = [hour for hour in AGENT_STATS.starts() if hour < limit]
    for hour in hours:
        _close(hour, built_until=now - max(settings.STATS_RAW_RETENTION, HOUR))
    closed = closed_among(hours)
    for hour in sorted(closed):
        AGENT_STATS.drop(hour)
    return len(closed)


@transaction.atomic
def _close(hour: datetime, *, built_until: datetime) -> None:
    """Closes the hour unless it was built lately, or must be built again."""
    open_hours = Rollup.objects.filter(span=Rollup.Span.HOUR, start=hour, closed=False)
    due = open_hours.filter(built_at__lte=built_until).select_for_update()
    stale = StaleMinute.objects.filter(minute__gte=hour, minute__lt=hour + HOUR)
    # The marks of writers that it waited for are seen by a statement after the lock.
    if list(due.values_list("start")) and not stale.exists():
        open_hours.update(closed=True)
