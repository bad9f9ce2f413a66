"""The loop that runs what is due, until it is told to stop."""

from __future__ import annotations

import logging
import threading
from datetime import datetime

import psycopg
from django.db import Error as DatabaseError
from django.db import close_old_connections
from django.utils import timezone

from jobs.selectors import upcoming
from jobs.services import run_due
from kernel.db.connections import discard_pool

logger = logging.getLogger(__name__)

# Looked at afresh this often: another worker's failure or a changed interval moves what is next.
MOST_SECONDS = 30.0
LEAST_SECONDS = 0.05


def work(stop: threading.Event) -> None:
    """Runs jobs until the event is set; a job under way is finished first.

    While the database is away it tries again, less and less often, and says so once.
    """
    failures = 0
    while not stop.is_set():
        try:
            run_due(timezone.now(), stopping=stop.is_set)
            seconds = seconds_to_next(timezone.now())
            failures = _recovered(failures)
        except (DatabaseError, psycopg.Error) as error:
            failures, seconds = _failed(error, failures)
        close_old_connections()
        stop.wait(seconds)
    discard_pool()


def seconds_to_next(now: datetime) -> float:
    """How long there is nothing to do, within bounds."""
    slots = upcoming(now)
    left = (slots[0][0] - now).total_seconds() if slots else MOST_SECONDS
    return min(MOST_SECONDS, max(LEAST_SECONDS, left))


def _recovered(failures: int) -> int:
    if failures:
        logger.info("The database serves the jobs again")
    return 0


def _failed(error: Exception, failures: int) -> tuple[int, float]:
    if not failures:
        reason = str(error).partition("\n")[0]
        logger.warning("Jobs wait for the database: %s", reason)
    discard_pool()
    return failures + 1, min(MOST_SECONDS, 0.5 * 2.0 ** min(failures, 10))
