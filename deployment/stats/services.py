"""Taking snapshots of the deployment's figures."""

from __future__ import annotations

import hashlib
import time
from dataclasses import asdict
from datetime import datetime
from functools import cache, partial
from typing import Any

from django.conf import settings
from django.db import connection, transaction

from deployment.stats import figures, folding, ladder, partitions
from deployment.stats.ingest import ingest
from deployment.stats.models import Snapshot
from deployment.stats.partitions import closed_among
from deployment.stats.retention import keep_hours_ahead, prune_stats
from kernel.db import listener
from kernel.db.connections import transaction_lock, unless_deadlocked
from kernel.http.rendering import render_json
from options.rendering import config_document

__all__ = ["SnapshotError", "collect_snapshot", "ingest", "keep_hours_ahead", "prune_stats"]

TOPIC = "stats"
# With it, sessions are counted by the rows that tell of usage.
USAGE_EXPERIMENT = "workspace-usage"
_TAKEN = "SELECT EXISTS (SELECT FROM deployment_snapshot WHERE collected_at = %s)"


class SnapshotError(Exception):
    """A snapshot that cannot be taken; the message says why."""


def collect_snapshot(at: datetime, *, now: datetime | None = None) -> Snapshot:
    """The snapshot of that moment: taken now, or the one that was taken of it before.

    Raises: SnapshotError for a moment that is ahead, or whose raw rows are no longer kept.
    """
    _check_moment(at, now=now or at)
    return unless_deadlocked(partial(_collected, at))


def _collected(at: datetime) -> Snapshot:
    started = time.monotonic()
    with transaction.atomic(), transaction_lock("collect-deployment-stats"):
        if _is_taken(at):
            return Snapshot.objects.get(collected_at=at)
        # As where rows are folded, the mark comes before the newest rows.
        ladder.mark_stale(at)
        taken = Snapshot.objects.create(**_figures(at), **_circumstances(at, started))
        listener.announce(TOPIC)
    return taken


def _check_moment(at: datetime, *, now: datetime) -> None:
    if at > now:
        raise SnapshotError(f"{at.isoformat()} is still to come.")
    earliest = partitions.kept_from(now, retention=settings.STATS_RAW_RETENTION)
    if at - earliest < figures.WINDOW:
        first = (earliest + figures.WINDOW).isoformat()
        raise SnapshotError(f"{at.isoformat()} is too early: rows are kept for {first} and later.")
    if now - at > partitions.HOUR and closed_among([at - figures.WINDOW, at]):
        raise SnapshotError(f"{at.isoformat()} is too early: its rows were dropped.")


def _is_taken(at: datetime) -> bool:
    """Whether there is a snapshot of the moment; the ORM would take three times as long to ask."""
    with connection.cursor() as cursor:
        cursor.execute(_TAKEN, [at])
        return bool(cursor.fetchone()[0])


def _figures(at: datetime) -> dict[str, Any]:
    folding.promote(at)
    return {**_agents(at), **asdict(figures.workspace_figures())}


def _agents(at: datetime) -> dict[str, Any]:
    if not settings.STATS_USAGE_ENABLED:
        return asdict(figures.NO_AGENTS)
    found = asdict(figures.agent_figures(at))
    if USAGE_EXPERIMENT in map(str.lower, settings.EXPERIMENTS):
        found["session_counts"] = figures.usage_sessions(at)
    return found


def _circumstances(at: datetime, started: float) -> dict[str, Any]:
    return {
        "collected_at": at,
        "aggregated_from": at - figures.WINDOW,
        "duration_ms": (time.monotonic() - started) * 1000,
        "configuration_hash": configuration_hash(),
        "build_version": settings.BUILD_VERSION,
    }


@cache
def configuration_hash() -> str:
    """A digest of the configuration as it may be shown, that is without secrets."""
    shown = render_json(config_document(settings.CONFIGURATION))
    return hashlib.sha256(shown).hexdigest()
