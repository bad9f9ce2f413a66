"""Reads snapshots."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db.models import QuerySet
from django.utils import timezone

from kernel.durations import to_timedelta
from kernel.http.errors import APIError, not_found
from stats.models import Rollup, Snapshot

# The clock of the replica that took a snapshot may be ahead of ours by this much.
CLOCKS_APART = timedelta(minutes=1)
MIN_INTERVAL = timedelta(seconds=1)


def refresh_interval() -> timedelta:
    """Returns how often snapshots are taken: Coder's option for it, but a second at least."""
    return max(to_timedelta(settings.STATS_REFRESH_NS), MIN_INTERVAL)


def snapshots_so_far(now: datetime) -> QuerySet[Snapshot]:
    """Returns snapshots, the newest first, without those of a clock that was far ahead."""
    until = now + CLOCKS_APART
    return Snapshot.objects.filter(collected_at__lte=until).order_by("-collected_at")


def newest_snapshot(now: datetime) -> Snapshot:
    """Returns the newest snapshot. Raises: APIError 400 before the first one."""
    snapshot = snapshots_so_far(now).first()
    if snapshot is None:
        raise APIError(
            400,
            "Deployment stats are still processing.",
            detail="No snapshot has been taken yet; the first one follows shortly.",
        )
    return snapshot


def snapshot_at(moment: datetime, *, now: datetime) -> Snapshot:
    """Returns the newest snapshot at or before that moment. Raises: APIError 404 without one."""
    snapshot = snapshots_so_far(now).filter(collected_at__lte=moment).first()
    if snapshot is None:
        raise not_found()
    return snapshot


def snapshot_state(now: datetime | None = None) -> dict[str, Any] | None:
    """Returns how old the newest snapshot is, or None before the first one.

    Shape: {"collected_at": datetime, "age_seconds": float}.
    """
    now = now or timezone.now()
    collected_at = snapshots_so_far(now).values_list("collected_at", flat=True).first()
    if collected_at is None:
        return None
    age = now - collected_at
    return {"collected_at": collected_at, "age_seconds": round(age.total_seconds(), 3)}


def rollup_lag(now: datetime) -> float:
    """Returns how long ago the newest minute that is rolled up began, or -1. Units: seconds.

    Minutes to come do not count: one agent whose clock is ahead would hide that no other reports.
    """
    minutes = Rollup.objects.filter(span=Rollup.Span.MINUTE, start__lte=now).order_by("-start")
    newest = minutes.values_list("start", flat=True).first()
    return -1.0 if newest is None else (now - newest).total_seconds()
