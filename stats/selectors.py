"""Queries snapshots and the age of rollups."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db.models import QuerySet
from django.utils import timezone

from kernel.db.sql import fetch_rows
from kernel.http.errors import APIError, not_found
from kernel.text.durations import to_timedelta
from stats.models import Rollup, Snapshot

# Snapshots may be this far in the future, because the clock of another replica may be ahead.
MAX_CLOCK_SKEW = timedelta(minutes=1)
MIN_INTERVAL = timedelta(seconds=1)

_MAX_INTERVAL = """
SELECT max(least(gap, second, third)) FROM (
    SELECT gap, lag(gap) OVER earlier AS second, lag(gap, 2) OVER earlier AS third FROM (
        SELECT collected_at, collected_at - lag(collected_at) OVER (ORDER BY collected_at) AS gap
        FROM stats_snapshot WHERE collected_at > %s AND collected_at <= %s
    ) AS gaps WINDOW earlier AS (ORDER BY collected_at)
) AS runs WHERE third IS NOT NULL
"""


def refresh_interval() -> timedelta:
    """Returns the configured interval between snapshots, but at least one second."""
    return max(to_timedelta(settings.STATS_REFRESH_NS), MIN_INTERVAL)


def snapshot_interval(since: datetime, until: datetime) -> timedelta:
    """Returns the interval between the snapshots in a period, never below the configured one.

    Only the shortest of every three consecutive gaps between snapshots counts. So a single
    long gap (an outage) is ignored. The longest gap that counts is the interval. The result is 10 %
    shorter than this interval, because intervals vary a little.
    """
    ((found,),) = fetch_rows(_MAX_INTERVAL, [since, until])
    return max(refresh_interval(), (found or timedelta()) * 0.9)


def snapshots_so_far(now: datetime) -> QuerySet[Snapshot]:
    """Returns snapshots, newest first.

    Omits snapshots that are too far in the future. The clock of the replica that took such a
    snapshot was wrong.
    """
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
    """Returns the newest snapshot at or before `moment`. Raises: APIError 404 if none exists."""
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


def newest_rollup_age(now: datetime) -> float | None:
    """Returns the age of the newest minute with a rollup, or None without rollups. Units: seconds.

    Ignores minutes in the future. Otherwise, one agent whose clock is ahead would hide that no
    other agent sends reports.
    """
    minutes = Rollup.objects.filter(span_seconds=Rollup.Span.MINUTE, starts_at__lte=now).order_by(
        "-starts_at"
    )
    newest = minutes.values_list("starts_at", flat=True).first()
    return None if newest is None else (now - newest).total_seconds()
