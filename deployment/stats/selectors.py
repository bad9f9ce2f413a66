"""Reading snapshots."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db.models import QuerySet
from django.utils import timezone

from deployment.stats.models import MinuteSum, Snapshot
from kernel.http.errors import APIError, not_found

# So much may the clock of the replica that took a snapshot be ahead of ours.
CLOCKS_APART = timedelta(minutes=1)
LEAST_INTERVAL = timedelta(seconds=1)


def refresh_interval() -> timedelta:
    """How often snapshots are taken: Coder's option for it, but a second at least."""
    return max(timedelta(microseconds=settings.STATS_REFRESH_NS // 1000), LEAST_INTERVAL)


def snapshots_so_far(now: datetime) -> QuerySet[Snapshot]:
    """The snapshots, the newest first, without those that a clock took which was far ahead."""
    until = now + CLOCKS_APART
    return Snapshot.objects.filter(collected_at__lte=until).order_by("-collected_at")


def newest_snapshot(now: datetime) -> Snapshot:
    """The newest snapshot. Raises: APIError 400 before the first one."""
    snapshot = snapshots_so_far(now).first()
    if snapshot is None:
        raise APIError(
            400,
            "Deployment stats are still processing.",
            detail="No snapshot has been taken yet; the first one follows shortly.",
        )
    return snapshot


def snapshot_at(moment: datetime, *, now: datetime) -> Snapshot:
    """The newest snapshot at or before that moment. Raises: APIError 404 before the first one."""
    snapshot = snapshots_so_far(now).filter(collected_at__lte=moment).first()
    if snapshot is None:
        raise not_found()
    return snapshot


def snapshot_state(now: datetime | None = None) -> dict[str, Any] | None:
    """How old the newest snapshot is, or None before the first one.

    Shape: {"collected_at": datetime, "age_seconds": float}.
    """
    now = now or timezone.now()
    collected_at = snapshots_so_far(now).values_list("collected_at", flat=True).first()
    if collected_at is None:
        return None
    age = now - collected_at
    return {"collected_at": collected_at, "age_seconds": round(age.total_seconds(), 3)}


def folding_lag(now: datetime) -> float:
    """How long ago the newest folded minute began, or -1 without one. Units: seconds.

    Minutes to come do not count: one agent whose clock is ahead would hide that no other reports.
    """
    begun = MinuteSum.objects.filter(minute__lte=now).order_by("-minute")
    newest = begun.values_list("minute", flat=True).first()
    return -1.0 if newest is None else (now - newest).total_seconds()
