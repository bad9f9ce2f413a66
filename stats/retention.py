"""Removes what is too old, and the rows of a person who is erased.

Raw rows go by whole hours, once these are closed. Rollups of minutes go after a quarter: those of
hours tell the rest. Snapshots are thinned. They go, and rollups with them, after
CODERAPI_STATS_RETENTION.
"""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import connection, transaction

from kernel.db.connections import transaction_lock
from stats.models import AgentStat, NewestAgentStat, Rollup, Snapshot
from stats.rollups.builder import ONE_BUILDER
from stats.rollups.hours import AGENT_STATS, EPOCH, HOUR, close_hours, floor, lock_open, mark_stale
from users.erasure import Part
from users.models import User

WEEK = timedelta(days=7)
QUARTER = timedelta(days=90)
FIVE_MINUTES = timedelta(minutes=5)
# Of snapshots that are older than the first, one is kept in each span of the second: the newest.
THINNED = ((WEEK, FIVE_MINUTES), (QUARTER, HOUR))

_THIN = """
DELETE FROM stats_snapshot WHERE id IN (
    SELECT id FROM (
        SELECT id, row_number() OVER (
            PARTITION BY date_bin(%(span)s, collected_at, TIMESTAMPTZ '1970-01-01T00:00:00Z')
            ORDER BY collected_at DESC
        ) AS place
        FROM stats_snapshot WHERE collected_at >= %(since)s AND collected_at < %(until)s
    ) AS ranked WHERE place > 1
)
"""
_DELETE_MINUTES = """
DELETE FROM stats_rollup AS minute USING stats_rollup AS hour
WHERE minute.span = 60 AND minute.start < %s
  AND hour.span = 3600 AND hour.start = date_trunc('hour', minute.start, 'UTC') AND hour.closed
"""
_ERASE = """
DELETE FROM stats_agentstat WHERE user_id = %s
RETURNING date_trunc('minute', created_at, 'UTC')
"""


def finest_step(moment: datetime, *, now: datetime) -> timedelta:
    """Returns the shortest step that history still tells truly as far back as that moment."""
    steps = (step for age, step in reversed(THINNED) if moment < now - age)
    return next(steps, timedelta(minutes=1))


def prune_stats(now: datetime) -> int:
    """Removes what is too old. Returns the number of hours and rows that went."""
    return close_hours(now) + _forget_agents() + thin_snapshots(now) + _delete_old(now)


@transaction.atomic
def _forget_agents() -> int:
    """Forgets the newest rows of agents that no moment can be asked for any more."""
    # The builder may be at an hour that is older than those which are there now.
    with transaction_lock(ONE_BUILDER):
        hours = AGENT_STATS.starts()
        agents = NewestAgentStat.objects.all()
        return (agents.filter(created_at__lt=hours[0]) if hours else agents).delete()[0]


def thin_snapshots(now: datetime) -> int:
    """Keeps one snapshot a span of those that are old. Returns how many went."""
    gone = 0
    with connection.cursor() as cursor:
        since = EPOCH
        for age, span in reversed(THINNED):
            until = floor(now - age, span)
            values: dict[str, Any] = {"span": span, "since": since, "until": until}
            cursor.execute(_THIN, values)
            gone, since = gone + cursor.rowcount, until
    return gone


def _delete_old(now: datetime) -> int:
    retention = settings.STATS_RETENTION
    with connection.cursor() as cursor:
        cursor.execute(_DELETE_MINUTES, [now - min(QUARTER, retention or QUARTER)])
        gone: int = cursor.rowcount
    if retention:
        oldest = now - retention
        hours = Rollup.objects.filter(start__lt=oldest - HOUR, span=Rollup.Span.HOUR, closed=True)
        gone += Snapshot.objects.filter(collected_at__lt=oldest).delete()[0]
        gone += hours.delete()[0]
    return gone


@transaction.atomic
def _erase_rows(user: User) -> None:
    lock_open(AGENT_STATS.starts())
    with connection.cursor() as cursor:
        cursor.execute(_ERASE, [uuid.UUID(str(user.pk))])
        mark_stale({minute for (minute,) in cursor.fetchall()}, rows_went=True)


AGENT_ROWS = Part(
    what="agent rows",
    fate="deleted: figures that are built from then on are without them",
    rows=lambda user: AgentStat.objects.filter(user_id=user.pk),
    outlives=True,
    erase=_erase_rows,
)
