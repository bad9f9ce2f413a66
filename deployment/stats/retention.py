"""What is kept for how long.

Raw rows go by whole hours, and sessions of usage with them; slices after an hour; minutes,
snapshots and rungs by their age.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import Min

from deployment.stats import closed_hours, partitions
from deployment.stats.cells import floor
from deployment.stats.folding import minutes_from, slices_from
from deployment.stats.ladder import FIVE_MINUTES
from deployment.stats.models import (
    ClosedHour,
    LateAgentStat,
    LatencyBucket,
    MinuteSum,
    NewestAgentStat,
    Rung,
    SliceSum,
    Snapshot,
    StaleSpan,
    UsageMinute,
)

# Partitions are made before the first row of their hour comes.
HOURS_AHEAD = 3
# Raw rows go by whole hours, and replicas' clocks differ.
MARGIN = timedelta(hours=2)


def keep_hours_ahead(now: datetime) -> int:
    """Makes the partitions of this hour and the next ones; how many were missing or incomplete."""
    first = partitions.hour_of(now)
    hours = [first + number * partitions.HOUR for number in range(HOURS_AHEAD + 1)]
    made = partitions.ensure_hours(hours, kept_from=first)
    return made + partitions.AGENT_STATS.make_ids_unique()


def prune_stats(now: datetime) -> int:
    """Drops raw rows by whole hours, then snapshots and sums that are too old; how many went."""
    return (
        _drop_hours(now) + _forget_what_needs_raw_rows(now) + _forget_slices(now) + _delete_old(now)
    )


def _drop_hours(now: datetime) -> int:
    kept_from = partitions.kept_from(now, retention=settings.STATS_RAW_RETENTION)
    # That takes its time, for which rows must not wait.
    closed_hours.close(_hours_before(kept_from))
    with transaction.atomic():
        partitions.lock_hours(shared=False)
        closed_hours.close_anew(_hours_before(kept_from))
        return len(partitions.AGENT_STATS.drop_before(kept_from))


def _hours_before(moment: datetime) -> list[datetime]:
    return [hour for hour in partitions.AGENT_STATS.starts() if hour < moment]


def _forget_what_needs_raw_rows(now: datetime) -> int:
    """Forgets what was before any moment that a snapshot can still be taken of."""
    kept_from = partitions.kept_from(now, retention=settings.STATS_RAW_RETENTION)
    agents = NewestAgentStat.objects.filter(created_at__lt=kept_from)
    usage = UsageMinute.objects.filter(minute__lt=kept_from)
    return sum(rows.delete()[0] for rows in (agents, usage))


def _forget_slices(now: datetime) -> int:
    """Forgets the slices that are too old, and that their minutes had any.

    Rows of such a minute may still go into slices where a clock was ahead, or a request waited.
    The slices would then seem to be all there. No row comes in between the two statements.
    """
    kept_from = slices_from(now)
    with transaction.atomic():
        partitions.lock_hours(shared=False)
        sliced = MinuteSum.objects.filter(minute__lt=kept_from, sliced_count__gt=0)
        sliced.update(sliced_count=0)
        return SliceSum.objects.filter(slice__lt=kept_from).delete()[0]


def _delete_old(now: datetime) -> int:
    minutes = minutes_from(now)
    of_spans_built = _minutes_that_may_go(minutes)
    old = [
        MinuteSum.objects.filter(minute__lt=of_spans_built),
        LatencyBucket.objects.filter(minute__lt=of_spans_built),
        LateAgentStat.objects.filter(created_at__lt=minutes),
        ClosedHour.objects.filter(start__lt=minutes - MARGIN),
    ]
    if settings.STATS_RETENTION:
        oldest = now - settings.STATS_RETENTION
        old += [
            Snapshot.objects.filter(collected_at__lt=oldest),
            Rung.objects.filter(start__lt=oldest),
        ]
    return sum(rows.delete()[0] for rows in old)


def _minutes_that_may_go(refused_before: datetime) -> datetime:
    """Minutes from before it are in rungs, and nothing comes of them any more.

    A rung is built from all minutes of its span, so they go by whole spans, some time after rows of
    theirs are refused, and none while something waits to be built.
    """
    stale = StaleSpan.objects.aggregate(first=Min("start"))["first"]
    limit = floor(refused_before - MARGIN, FIVE_MINUTES)
    return min(limit, stale) if stale else limit
