"""Queries snapshots."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import connection
from django.db.models import QuerySet
from django.utils import timezone

from kernel.durations import to_timedelta
from kernel.http.errors import APIError, not_found
from stats.models import Rollup, Snapshot

# The clock of the replica that took a snapshot may be this far ahead.
MAX_CLOCK_SKEW = timedelta(minutes=1)
MIN_INTERVAL = timedelta(seconds=1)

_LONGEST_INTERVAL = """
SELECT max(least(gap, second, third)) FROM (
    SELECT gap, lag(gap) OVER earlier AS second, lag(gap, 2) OVER earlier AS third FROM (
        SELECT collected_at, collected_at - lag(collected_at) OVER (ORDER BY collected_at) AS gap
        FROM stats_snapshot WHERE collected_at > %s AND collected_at <= %s
    ) AS gaps WINDOW earlier AS (ORDER BY collected_at)
) AS runs WHERE third IS NOT NULL
"""


def refresh_interval() -> timedelta:
    """Returns the interval between snapshots: Coder's option for it, at least one second."""
    return max(to_timedelta(settings.STATS_REFRESH_NS), MIN_INTERVAL)


def snapshot_interval(since: datetime, until: datetime) -> timedelta:
    """Returns the longest interval that four snapshots in a row keep, or the configured one.

    A longer gap between two snapshots is an outage. Allows for 10 % of jitter.
    """
    with connection.cursor() as cursor:
        cursor.execute(_LONGEST_INTERVAL, [since, until])
        (found,) = cursor.fetchone()
    return max(refresh_interval(), (found or timedelta()) * 0.9)


def snapshots_so_far(now: datetime) -> QuerySet[Snapshot]:
    """Returns snapshots, newest first, without those of a replica whose clock was far ahead."""
    until = now + MAX_CLOCK_SKEW
    return Snapshot.objects.filter(collected_at__lte=until).order_by("-collected_at")


def newest_snapshot(now: datetime) -> Snapshot:
    """Returns the newest snapshot. Raises: APIError 400 before the first one."""
    snapshot = snapshots_so_far(now).first()
    if snapshot is None:
        raise APIError(
            400,
            "Deployment stats are still processing.",
            detail="No snapshot has been taken yet. Try again in a minute.",
        )
    return snapshot


def snapshot_at(moment: datetime, *, now: datetime) -> Snapshot:
    """Returns the newest snapshot at or before that moment. Raises: APIError 404 without one."""
    snapshot = snapshots_so_far(now).filter(collected_at__lte=moment).first()
    if snapshot is None:
        raise not_found()
    return snapshot


def snapshot_state(now: datetime | None = None) -> dict[str, Any] | None:
    """Returns the time and age of the newest snapshot, or None before the first one.

    Shape: {"collected_at": datetime, "age_seconds": float}.
    """
    now = now or timezone.now()
    collected_at = snapshots_so_far(now).values_list("collected_at", flat=True).first()
    if collected_at is None:
        return None
    age = now - collected_at
    return {"collected_at": collected_at, "age_seconds": round(age.total_seconds(), 3)}


def rollup_lag(now: datetime) -> float:
    """Returns the age of the newest minute that is rolled up, or -1. Units: seconds.

    Skips minutes in the future: an agent whose clock is ahead would hide that no other reports.
    """
    minutes = Rollup.objects.filter(span=Rollup.Span.MINUTE, start__lte=now).order_by("-start")
    newest = minutes.values_list("start", flat=True).first()
    return -1.0 if newest is None else (now - newest).total_seconds()
