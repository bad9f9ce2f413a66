"""Takes snapshots by the clock, apart from the worker that does so among its other jobs."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, timedelta

import psycopg
from django.db import Error as DatabaseError
from django.db import close_old_connections
from django.utils import timezone

from jobs.selectors import upcoming_slot
from jobs.services import fail_abandoned_runs, run_job
from kernel.db.connections import discard_pool
from stats.jobs import COLLECT

log = logging.getLogger(__name__)

MAX_SECONDS = 30.0
MIN_SECONDS = 0.05


def collect_in_a_loop(wait: Callable[[float], bool], *, every: timedelta) -> int:
    """Takes a snapshot each `every` until `wait(seconds)` says to stop. Returns their number.

    Slots are the worker's: any number of loops and workers take one snapshot a slot between them,
    and a failed run is followed by the next after a growing pause. While the database is away, the
    loop waits for it.
    """
    taken = 0
    stopping = False
    while not stopping:
        try:
            taken += _collect_if_due(timezone.now(), every=every)
            seconds = _seconds_left(timezone.now(), every=every)
        except (DatabaseError, psycopg.Error) as error:
            log.warning("no snapshot: %s", str(error).partition("\n")[0])
            discard_pool()
            seconds = min(MAX_SECONDS, every.total_seconds())
        close_old_connections()
        stopping = wait(seconds)
    return taken


def _collect_if_due(now: datetime, *, every: timedelta) -> bool:
    fail_abandoned_runs(now)
    slot = _next(now, every=every)
    if slot > now:
        return False
    run = run_job(COLLECT, now, slot=slot)
    return run is not None and not run.failed


def _next(now: datetime, *, every: timedelta) -> datetime:
    return upcoming_slot(COLLECT.name, every=every, now=now)


def _seconds_left(now: datetime, *, every: timedelta) -> float:
    left = (_next(now, every=every) - now).total_seconds()
    return min(MAX_SECONDS, max(MIN_SECONDS, left))
