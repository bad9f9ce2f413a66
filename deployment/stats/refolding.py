"""Folding again from the raw rows: for when sums are doubted, or what is folded has changed."""

from __future__ import annotations

from datetime import datetime
from functools import partial

from django.conf import settings
from django.db import connection, transaction
from psycopg import sql

from deployment.stats import partitions
from deployment.stats.cells import floor
from deployment.stats.folding import MARK_STALE, fold
from deployment.stats.ladder import FIVE_MINUTES
from deployment.stats.models import (
    AgentStat,
    AheadAgentStat,
    ClosedHour,
    LateAgentStat,
    LatencyBucket,
    MinuteSum,
    NewestAgentStat,
    SliceSum,
    UsageMinute,
)
from kernel.db.connections import unless_deadlocked

SOURCE = "refolded_agent_stats"


class RefoldError(Exception):
    """What cannot be folded again; the message says why."""


def refold(since: datetime, *, now: datetime) -> int:
    """Makes all that is folded from the minute of `since` on anew; of how many rows.

    No row comes in meanwhile. Snapshots that were taken stay as they are.
    Raises: RefoldError where raw rows of that time are no longer kept, or it is still to come.
    """
    if since > now:
        raise RefoldError(f"{since.isoformat()} is still to come.")
    start = since.replace(second=0, microsecond=0)
    unless_deadlocked(partial(_refold, start, now=now))
    return AgentStat.objects.filter(created_at__gte=start).count()


@transaction.atomic
def _refold(start: datetime, *, now: datetime) -> None:
    partitions.lock_hours(shared=False)
    _check_rows_are_kept(start, now=now)
    _let_history_be_built_anew(start)
    _forget(start)
    _create_source(start)
    fold(SOURCE, now=now)
    with connection.cursor() as cursor:
        cursor.execute(f"DROP VIEW {SOURCE}")


def _check_rows_are_kept(start: datetime, *, now: datetime) -> None:
    kept_from = partitions.kept_from(now, retention=settings.STATS_RAW_RETENTION)
    if start < kept_from:
        raise RefoldError(f"Rows are kept from {kept_from.isoformat()} on.")
    closed = ClosedHour.objects.filter(start__gte=partitions.hour_of(start)).first()
    if closed is not None:
        raise RefoldError(f"The rows of the hour {closed.start.isoformat()} were dropped.")
    late = LateAgentStat.objects.filter(created_at__gte=start).order_by("-created_at").first()
    if late is not None:
        raise RefoldError(f"The row of {late.created_at.isoformat()} came late and was not kept.")


def _let_history_be_built_anew(start: datetime) -> None:
    """Marks what is built, too: of some of it nothing may be left to be folded."""
    built = "SELECT start FROM deployment_rung WHERE span = %s AND start >= %s"
    span = FIVE_MINUTES.total_seconds()
    with connection.cursor() as cursor:
        cursor.execute(MARK_STALE.format(rows=built), [span, floor(start, FIVE_MINUTES)])


def _forget(start: datetime) -> None:
    MinuteSum.objects.filter(minute__gte=start).delete()
    LatencyBucket.objects.filter(minute__gte=start).delete()
    SliceSum.objects.filter(slice__gte=start).delete()
    UsageMinute.objects.filter(minute__gte=start).delete()
    AheadAgentStat.objects.filter(created_at__gte=start).delete()
    NewestAgentStat.objects.filter(created_at__gte=start).delete()


def _create_source(start: datetime) -> None:
    statement = sql.SQL(
        "CREATE TEMPORARY VIEW {} AS SELECT * FROM deployment_agentstat WHERE created_at >= {}"
    ).format(sql.Identifier(SOURCE), sql.Literal(start))
    with connection.cursor() as cursor:
        cursor.execute(statement.as_string(cursor.connection))
