"""Taking snapshots of the deployment's figures, and letting go of what is too old."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import transaction

from coderapi import listener
from coderapi.database import transaction_lock
from deployment.stats import figures, folding, partitions
from deployment.stats.ingest import ingest
from deployment.stats.models import (
    AgentStat,
    ClosedHour,
    LateAgentStat,
    LatencyBucket,
    MinuteSum,
    NewestAgentStat,
    Snapshot,
)

__all__ = ["SnapshotError", "collect_snapshot", "ingest", "keep_hours_ahead", "prune_stats"]

TOPIC = "stats"
# Partitions are made before the first row of their hour comes.
HOURS_AHEAD = timedelta(hours=3)


class SnapshotError(Exception):
    """A snapshot that cannot be taken; the message says why."""


def collect_snapshot(at: datetime, *, now: datetime | None = None) -> Snapshot:
    """The snapshot of that moment: taken now, or the one that was taken of it before.

    Raises: SnapshotError for a moment that is ahead, or whose raw rows are no longer kept.
    """
    _check_moment(at, now=now or at)
    started = time.monotonic()
    with transaction.atomic(), transaction_lock("collect-deployment-stats"):
        known = Snapshot.objects.filter(collected_at=at).first()
        if known is not None:
            return known
        taken = Snapshot.objects.create(**_figures(at), **_circumstances(at, started))
        listener.announce(TOPIC)
    return taken


def _check_moment(at: datetime, *, now: datetime) -> None:
    if at > now:
        raise SnapshotError(f"{at.isoformat()} is still to come.")
    earliest = partitions.kept_from(now, retention=settings.STATS_RAW_RETENTION)
    if at - earliest < figures.WINDOW:
        raise SnapshotError(f"Rows are kept from {earliest.isoformat()} on: too late for {at}.")


def _figures(at: datetime) -> dict[str, Any]:
    folding.promote(at)
    agents = figures.agent_figures(at) if settings.STATS_USAGE_ENABLED else figures.NO_AGENTS
    return {**asdict(agents), **asdict(figures.workspace_figures())}


def _circumstances(at: datetime, started: float) -> dict[str, Any]:
    return {
        "collected_at": at,
        "aggregated_from": at - figures.WINDOW,
        "duration_ms": (time.monotonic() - started) * 1000,
        "build_version": settings.BUILD_VERSION,
    }


def keep_hours_ahead(now: datetime) -> int:
    """Makes the partitions of this hour and the next ones; how many were missing."""
    return partitions.AGENT_STATS.ensure(now, now + HOURS_AHEAD)


def prune_stats(now: datetime) -> int:
    """Drops raw rows by whole hours, then snapshots and sums that are too old; how many went."""
    return _drop_hours(now) + _forget_agents(now) + _delete_old(now)


def _drop_hours(now: datetime) -> int:
    kept_from = partitions.kept_from(now, retention=settings.STATS_RAW_RETENTION)
    with transaction.atomic():
        partitions.lock_hours(shared=False)
        _close_hours([hour for hour in partitions.AGENT_STATS.starts() if hour < kept_from])
        return len(partitions.AGENT_STATS.drop_before(kept_from))


def _close_hours(hours: Iterable[datetime]) -> None:
    """Notes the hours that have rows: without them, a repeated row of theirs could not be told."""
    filled = [
        ClosedHour(start=hour)
        for hour in hours
        if AgentStat.objects.filter(created_at__range=partitions.within(hour)).exists()
    ]
    ClosedHour.objects.bulk_create(filled, ignore_conflicts=True)


def _forget_agents(now: datetime) -> int:
    """Forgets agents that vanished before any moment that a snapshot can still be taken of."""
    kept_from = partitions.kept_from(now, retention=settings.STATS_RAW_RETENTION)
    return NewestAgentStat.objects.filter(created_at__lt=kept_from).delete()[0]


def _delete_old(now: datetime) -> int:
    if not settings.STATS_RETENTION:
        return 0
    oldest = now - settings.STATS_RETENTION
    old = (
        Snapshot.objects.filter(collected_at__lt=oldest),
        MinuteSum.objects.filter(minute__lt=oldest),
        LatencyBucket.objects.filter(minute__lt=oldest),
        LateAgentStat.objects.filter(created_at__lt=oldest),
        ClosedHour.objects.filter(start__lt=oldest - partitions.HOUR),
    )
    return sum(rows.delete()[0] for rows in old)
