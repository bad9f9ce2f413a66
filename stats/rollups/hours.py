"""Opens and closes hours. An open hour has a partition for its agent rows, and a rollup row.

Agent rows can be written only to open hours. A transaction that writes them locks the rollup row
of their hour. Closing an hour waits for this lock, so no row is written to a closed hour. The lock
is FOR KEY SHARE, so writers do not wait for each other or for the builder.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import UTC, datetime, timedelta

from django.conf import settings
from django.db import transaction

from kernel.db.partitions import PartitionedTable
from kernel.db.sql import execute, fetch_rows
from kernel.text.durations import floor
from stats.models import HOUR, Rollup, StaleMinute

EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
# The clock of an agent may be ahead by up to this time. Rows that are further in the future are
# rejected.
MAX_AHEAD = timedelta(minutes=5)
# The number of hours for which partitions are created in advance.
PREPARED_HOURS = 3
# The maximum number of open hours that are older than the retention of agent rows. 1,000 hours are
# about 40 days. There must be a maximum, because the number of locks in PostgreSQL is limited, and
# a query that reads all partitions locks every partition and its three indexes.
MAX_OLD_HOURS = 1_000

AGENT_STATS = PartitionedTable("stats_agentstat", HOUR)

_ADD = """
INSERT INTO stats_rollup (
    span_seconds, starts_at, row_count, measured_rx_bytes, measured_tx_bytes, latency_buckets,
    latency_counts, built_at, is_final
)
SELECT 3600, unnest(%s::timestamptz[]), 0, 0, 0, '{}', '{}', %s, false ORDER BY 2
ON CONFLICT DO NOTHING
"""
_LOCK_OPEN = """
SELECT starts_at FROM stats_rollup
WHERE span_seconds = 3600 AND starts_at = ANY(%s) AND NOT is_final ORDER BY starts_at FOR KEY SHARE
"""


def hours_of(moments: Iterable[datetime]) -> set[datetime]:
    return {floor(moment, HOUR) for moment in moments}


def kept_from(now: datetime) -> datetime:
    """Returns the first hour whose agent rows are kept. With a retention of 0, all are kept."""
    if not settings.STATS_AGENT_ROW_RETENTION:
        return EARLIEST
    # Current snapshots need the agent rows of at least one hour.
    return floor(now - max(settings.STATS_AGENT_ROW_RETENTION, HOUR), HOUR)


def make_partitions(now: datetime) -> int:
    """Creates the missing partitions of this hour and the next hours. Returns their number."""
    before = set(AGENT_STATS.starts())
    hours = {floor(now, HOUR) + number * HOUR for number in range(PREPARED_HOURS + 1)}
    return len(ensure_hours(hours, now=now) - before)


def ensure_hours(hours: Collection[datetime], *, now: datetime) -> set[datetime]:
    """Creates the missing partitions and rollup rows. Returns the given hours with a partition.

    Skips closed hours. Also skips old hours if MAX_OLD_HOURS old hours are already open. Call this
    before the transaction that writes the rows, because other writers may need the partition, too.
    """
    present = set(AGENT_STATS.starts())
    missing = _within_limit(set(hours) - present, present, now=now)
    wanted = sorted(present & set(hours)) + missing
    if wanted:
        execute(_ADD, [wanted, now])
    for hour in sorted(set(missing) - closed_among(missing)):
        AGENT_STATS.ensure(hour, hour)
        present.add(hour)
    return present & set(hours)


def _within_limit(
    missing: set[datetime], present: set[datetime], *, now: datetime
) -> list[datetime]:
    """Returns the missing hours that may be opened without exceeding MAX_OLD_HOURS."""
    first = kept_from(now)
    old = sorted(hour for hour in missing if hour < first)
    free = MAX_OLD_HOURS - sum(hour < first for hour in present)
    return [*old[: max(free, 0)], *(hour for hour in missing if hour >= first)]


def closed_among(hours: Collection[datetime]) -> set[datetime]:
    found = Rollup.objects.filter(span_seconds=Rollup.Span.HOUR, starts_at__in=hours, is_final=True)
    return set(found.values_list("starts_at", flat=True))


def lock_open(hours: Collection[datetime]) -> set[datetime]:
    """Locks those of the given hours that are open, and returns the locked hours.

    Because of the lock, these hours are not closed before the transaction ends.
    """
    return {start.astimezone(UTC) for (start,) in fetch_rows(_LOCK_OPEN, [sorted(hours)])}


def mark_stale(minutes: Collection[datetime], *, rows_were_deleted: bool = False) -> None:
    """Marks minutes, so that the builder builds them again after this transaction is committed."""
    StaleMinute.objects.bulk_create(
        StaleMinute(minute=minute, rows_were_deleted=rows_were_deleted)
        for minute in sorted(minutes)
    )


def close_hours(now: datetime) -> int:
    """Closes expired hours and drops their partitions. Returns the number of dropped partitions."""
    hours = [hour for hour in AGENT_STATS.starts() if hour < kept_from(now)]
    for hour in hours:
        _close(hour, built_until=now - max(settings.STATS_AGENT_ROW_RETENTION, HOUR))
    return sum(AGENT_STATS.drop(hour) for hour in sorted(closed_among(hours)))


@transaction.atomic
def _close(hour: datetime, *, built_until: datetime) -> None:
    """Closes the hour. Does nothing if it was built after `built_until` or has stale minutes."""
    open_hours = Rollup.objects.filter(
        span_seconds=Rollup.Span.HOUR, starts_at=hour, is_final=False
    )
    due = open_hours.filter(built_at__lte=built_until).select_for_update()
    stale = StaleMinute.objects.filter(minute__gte=hour, minute__lt=hour + HOUR)
    # Read the marks only after the lock is acquired. While this transaction waited for the lock,
    # other transactions may have committed marks.
    if list(due.values_list("starts_at")) and not stale.exists():
        open_hours.update(is_final=True)
