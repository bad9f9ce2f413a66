"""Deletes expired stats, and the agent rows of an erased user.

When an hour is closed, all its agent rows are dropped. Minute rollups are deleted after 90 days,
and history of older times is read from hour rollups. Old snapshots are thinned: only some are kept.
Snapshots and hour rollups are deleted after CODERAPI_STATS_RETENTION.
"""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction

from kernel.db import listener
from kernel.db.connections import transaction_lock
from kernel.db.sql import execute, fetch_rows
from kernel.text.durations import EPOCH, floor
from stats.models import HOUR, MINUTE, AgentStat, NewestAgentStat, Rollup, Snapshot
from stats.rollups.builder import ONE_BUILDER, TOPIC
from stats.rollups.hours import AGENT_STATS, close_hours, lock_open, mark_stale
from users.erasure import ErasureRule, register
from users.models import User

WEEK = timedelta(days=7)
QUARTER = timedelta(days=90)
# Pairs of an age and a span. If snapshots are older than the age, only the newest snapshot in each
# span is kept.
THINNED = ((WEEK, 5 * MINUTE), (QUARTER, HOUR))

_THIN = """
DELETE FROM stats_snapshot WHERE id IN (
    SELECT id FROM (
        SELECT id, row_number() OVER (
            PARTITION BY date_bin(%(span)s, collected_at, TIMESTAMPTZ '1970-01-01T00:00:00Z')
            ORDER BY collected_at DESC
        ) AS rank
        FROM stats_snapshot WHERE collected_at >= %(since)s AND collected_at < %(until)s
    ) AS ranked WHERE rank > 1
)
"""
_DELETE_MINUTES = """
DELETE FROM stats_rollup AS minute USING stats_rollup AS hour
WHERE minute.span_seconds = 60 AND minute.starts_at < %s
  AND hour.span_seconds = 3600 AND hour.is_final
  AND hour.starts_at = date_trunc('hour', minute.starts_at, 'UTC')
"""
_ERASE = """
DELETE FROM stats_agentstat WHERE user_id = %s AND created_at >= %s AND created_at < %s
RETURNING date_trunc('minute', created_at, 'UTC')
"""


def finest_step(moment: datetime, *, now: datetime) -> timedelta:
    """Returns the shortest step for history that begins at `moment`.

    With a shorter step, history would have gaps, because old snapshots are thinned.
    """
    steps = (step for age, step in reversed(THINNED) if moment < now - age)
    return next(steps, timedelta(minutes=1))


def prune_stats(now: datetime) -> int:
    """Deletes expired stats. Returns the number of dropped hours plus deleted rows."""
    deleted = _thin_snapshots(now) + _delete_expired(now)
    if deleted:
        listener.announce(TOPIC)
    return close_hours(now) + _prune_agents() + deleted


@transaction.atomic
def _prune_agents() -> int:
    """Deletes the newest row of each agent whose other rows were all dropped."""
    # Wait for the builder, because it may be adding newest rows of an hour that was just dropped.
    with transaction_lock(ONE_BUILDER):
        hours = AGENT_STATS.starts()
        agents = NewestAgentStat.objects.all()
        return (agents.filter(created_at__lt=hours[0]) if hours else agents).delete()[0]


def _thin_snapshots(now: datetime) -> int:
    deleted, since = 0, EPOCH
    for age, span in reversed(THINNED):
        until = floor(now - age, span)
        deleted += execute(_THIN, {"span": span, "since": since, "until": until})
        since = until
    return deleted


def _delete_expired(now: datetime) -> int:
    retention = settings.STATS_RETENTION
    deleted = execute(_DELETE_MINUTES, [now - min(QUARTER, retention or QUARTER)])
    if retention:
        oldest = now - retention
        hours = Rollup.objects.filter(
            starts_at__lt=oldest - HOUR, span_seconds=Rollup.Span.HOUR, is_final=True
        )
        deleted += Snapshot.objects.filter(collected_at__lt=oldest).delete()[0]
        deleted += hours.delete()[0]
    return deleted


def _number_of_rows(user: User) -> int:
    # One query for each partition, because a query that reads all partitions locks all of them.
    hours = ((hour, hour + HOUR) for hour in AGENT_STATS.starts())
    rows = AgentStat.objects.filter(user_id=user.pk)
    return sum(rows.filter(created_at__gte=a, created_at__lt=b).count() for a, b in hours)


def _erase_rows(user: User) -> None:
    for hour in AGENT_STATS.starts():
        with transaction.atomic():
            lock_open([hour])
            found = fetch_rows(_ERASE, [uuid.UUID(str(user.pk)), hour, hour + HOUR])
            mark_stale({minute for (minute,) in found}, rows_were_deleted=True)


register(
    ErasureRule(
        data="agent rows",
        outcome="deleted, and left out of statistics computed afterwards",
        rows=_number_of_rows,
        outlives=True,
        erase=_erase_rows,
    )
)
