"""The worker: a thread for every job, each of which runs its job whenever it is due."""

from __future__ import annotations

import logging
import threading
import time

import psycopg
from django.db import Error as DatabaseError
from django.db import close_old_connections, connection
from django.utils import timezone

from jobs import registry
from jobs.registry import Job
from jobs.selectors import upcoming_slot
from jobs.services import run_if_due
from kernel.db.connections import leave_pool
from kernel.loops import Backoff, repeat

logger = logging.getLogger(__name__)

# Another worker's failure or a changed interval moves the next slot, so it is looked at this often.
MAX_SECONDS = 30.0
# Another process runs what is due here.
BUSY_SECONDS = 1.0


class Outage:
    """Says once for all jobs that the database is away, and once that it is back."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lasts = False

    def noticed(self, error: Exception) -> None:
        with self._lock:
            if not self._lasts:
                logger.warning("Jobs wait for the database: %s", str(error).partition("\n")[0])
            self._lasts = True

    def over(self) -> None:
        with self._lock:
            if self._lasts:
                logger.info("The database serves the jobs again")
            self._lasts = False


def work(stop: threading.Event) -> None:
    """Runs all jobs until the event is set. Then runs under way have their own time to end."""
    outage = Outage()
    jobs = registry.all_jobs()
    # Daemons: at the end of its time a run is left, and must not keep the process alive.
    threads = [
        threading.Thread(
            target=_work_on, args=(job, stop, outage), name=f"job-{job.name}", daemon=True
        )
        for job in jobs
    ]
    for thread in threads:
        thread.start()
    stop.wait()
    asked = time.monotonic()
    for job, thread in zip(jobs, threads, strict=True):
        thread.join(max(0.0, asked + job.within.total_seconds() - time.monotonic()))
        if thread.is_alive():
            logger.warning("Job %s is left: it has not ended within %s", job.name, job.within)


def _work_on(job: Job, stop: threading.Event, outage: Outage) -> None:
    # A job that holds its connection for long takes none from the others.
    leave_pool()
    keep_running(job, stop=stop, outage=outage)
    connection.close()


def keep_running(job: Job, *, stop: threading.Event, outage: Outage | None = None) -> int:
    """Runs the job whenever it is due until the event is set. Returns how many runs went well.

    While the database is away it tries again, less and less often.
    """
    outage = outage or Outage()
    backoff = Backoff(first=0.5, longest=MAX_SECONDS)
    went_well = 0

    def turn() -> float:
        nonlocal went_well
        try:
            run = run_if_due(job, timezone.now())
            went_well += run is not None and not run.failed
            seconds = seconds_to_next(job)
        except (DatabaseError, psycopg.Error) as error:
            outage.noticed(error)
            connection.close()
            return backoff.after(0)
        outage.over()
        backoff.failures = 0
        close_old_connections()
        return seconds

    repeat(turn, every=MAX_SECONDS, stop=stop)
    return went_well


def seconds_to_next(job: Job) -> float:
    """Returns how long to wait before the job is looked at again."""
    if not job.enabled():
        return MAX_SECONDS
    now = timezone.now()
    left = (upcoming_slot(job.name, every=job.interval(), now=now) - now).total_seconds()
    return min(MAX_SECONDS, left) if left > 0 else BUSY_SECONDS
