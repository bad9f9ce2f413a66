"""Taking snapshots of the deployment's figures: of now, of a moment, of a stretch of the past."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import cache, partial
from typing import Any

from django.conf import settings
from django.db import transaction

from kernel.db import listener
from kernel.db.connections import transaction_lock, unless_deadlocked
from kernel.http.rendering import render_json
from options.rendering import config_document
from stats import figures
from stats.figures import WINDOW
from stats.models import Snapshot
from stats.rollups.builder import build
from stats.rollups.hours import (
    AGENT_STATS,
    HOUR,
    closed_among,
    floor,
    hours_of,
    kept_from,
    lock_open,
)

TOPIC = "stats"
ONE_AT_A_TIME = "collect-deployment-stats"
# With it, sessions are counted by the rows that tell of usage.
USAGE_EXPERIMENT = "workspace-usage"
# The builder may take so long for rows of the past before a snapshot of now.
BUILD_SECONDS = 5.0
FIVE_MINUTES = timedelta(minutes=5)
SECOND = timedelta(seconds=1)


class SnapshotError(Exception):
    """A snapshot that cannot be taken; the message says why."""


def collect_snapshot(at: datetime, *, now: datetime | None = None) -> Snapshot:
    """Returns the snapshot of that moment: taken now, or the one that was taken of it before.

    Raises: SnapshotError for a moment that is ahead, or whose raw rows are no longer kept.
    """
    now = now or at
    if at > now:
        raise SnapshotError(f"{at.isoformat()} is still to come.")
    # A moment of the past needs all of its minutes.
    build(now=now, seconds=BUILD_SECONDS if at == now else float("inf"))
    return unless_deadlocked(partial(_collected, at, now=now))


@transaction.atomic
def _collected(at: datetime, *, now: datetime) -> Snapshot:
    with transaction_lock(ONE_AT_A_TIME):
        if not _rows_are_kept(at, now=now):
            first = (kept_from(now) + WINDOW).isoformat()
            raise SnapshotError(
                f"{at.isoformat()} is too early: its raw rows are not kept. "
                f"All are from {first} on."
            )
        known = Snapshot.objects.filter(collected_at=at).first()
        if known:
            return known
        started = time.monotonic()
        snapshot = _kept(
            at,
            started,
            **_agents(at) | figures.workspace_figures(),
            configuration_hash=configuration_hash(),
            build_version=settings.BUILD_VERSION,
        )
        listener.announce(TOPIC)
        return snapshot


def _rows_are_kept(at: datetime, *, now: datetime) -> bool:
    """Tells whether all raw rows of the moment's window are there, none dropped or refused.

    Until the transaction ends, none of them will be dropped.
    """
    hours = hours_of([at - WINDOW, at])
    lock_open(hours)
    if closed_among(hours):
        return False
    return min(hours) >= kept_from(now) or not hours.isdisjoint(AGENT_STATS.starts())


def _kept(at: datetime, started: float, **members: Any) -> Snapshot:
    duration_ms = (time.monotonic() - started) * 1000
    window: dict[str, Any] = {"collected_at": at, "aggregated_from": at - WINDOW}
    return Snapshot.objects.create(**window, duration_ms=duration_ms, **members)


def _agents(at: datetime) -> dict[str, Any]:
    if not settings.STATS_USAGE_ENABLED:
        return figures.NO_AGENTS
    found = figures.agent_figures(at)
    if USAGE_EXPERIMENT in map(str.lower, settings.EXPERIMENTS):
        found["session_counts"] = figures.usage_sessions(at)
    return found


@cache
def configuration_hash() -> str:
    """Returns a digest of the configuration as it may be shown, that is without secrets."""
    shown = render_json(config_document(settings.CONFIGURATION))
    return hashlib.sha256(shown).hexdigest()


def backfill(
    since: datetime, until: datetime, *, now: datetime, every: timedelta = FIVE_MINUTES
) -> Iterator[datetime]:
    """Takes a snapshot at the end of each step of [since, until) that has none, oldest first.

    Yields the moment of each. They are taken from raw rows, so only of hours that have them. A
    step in whose window nothing was reported stays a gap. Workspaces that reported count as
    running.
    """
    build(now=now)
    for hour in AGENT_STATS.starts():
        if hour + HOUR > since and hour < until:
            yield from _backfill_hour(hour, since, min(until, now), every=every, now=now)


def _backfill_hour(
    hour: datetime, since: datetime, until: datetime, *, every: timedelta, now: datetime
) -> Iterator[datetime]:
    taken = Snapshot.objects.filter(
        collected_at__gte=hour - every, collected_at__lt=hour + HOUR + every
    )
    known = {floor(moment, every) for moment in taken.values_list("collected_at", flat=True)}
    start = floor(max(since, hour), every)
    while start < min(until, hour + HOUR):
        at = start + every - SECOND
        take = partial(_backfilled, at, now=now)
        if start not in known and at < until and unless_deadlocked(take):
            yield at
        start += every


@transaction.atomic
def _backfilled(at: datetime, *, now: datetime) -> bool:
    """Takes a snapshot of the past. Returns False if there is one, or nothing to take it of."""
    with transaction_lock(ONE_AT_A_TIME):
        known = Snapshot.objects.filter(collected_at=at).exists()
        if known or not _rows_are_kept(at, now=now):
            return False
        started = time.monotonic()
        found = _agents(at)
        if not found["row_count"]:
            return False
        found |= figures.reporting_workspaces(at)
        _kept(at, started, **found, source=Snapshot.Source.BACKFILL)
    return True
