"""The worker: runs each job in its own thread when it is due."""

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
from kernel.db.connections import first_line, leave_pool
from kernel.db.failures import note_failure
from kernel.failures import Failures
from kernel.loops import Backoff, repeat

logger = logging.getLogger(__name__)

# The maximum time between two computations of the next slot. The slot changes if a run fails in
# another worker, or if the interval changes.
MAX_SECONDS = 30.0
# The longest pause before the database is tried again, while it is unavailable.
RETRY_SECONDS = 3.0
# The pause before the next check if another process runs the job.
BUSY_SECONDS = 1.0


OUTAGE = Failures(
    "The database is unavailable, jobs wait: %s", "The database is available again, jobs continue"
)


def work(stop: threading.Event) -> None:
    """Runs all jobs until the event is set.

    Then waits for the unfinished runs. It waits for each run at most the `max_duration` of its job.
    """
    jobs = registry.all_jobs()
    # The threads are daemon threads, so that the process can exit while a late run continues.
    threads = [
        threading.Thread(target=_work_on, args=(job, stop), name=f"job-{job.name}", daemon=True)
        for job in jobs
    ]
    for thread in threads:
        thread.start()
    stop.wait()
    stopped = time.monotonic()
    for job, thread in zip(jobs, threads, strict=True):
        thread.join(max(0.0, stopped + job.max_duration.total_seconds() - time.monotonic()))
        if thread.is_alive():
            logger.warning("Job %s is abandoned after %s", job.name, job.max_duration)


def _work_on(job: Job, stop: threading.Event) -> None:
    # A long job must not occupy a connection of the pool.
    leave_pool()
    keep_running(job, stop=stop)
    connection.close()


def keep_running(job: Job, *, stop: threading.Event) -> None:
    """Runs the job each time it is due, until the event is set.

    Retries with a growing delay if the database is unavailable, and every MAX_SECONDS after another
    error.
    """
    backoff = Backoff(first=0.5, longest=RETRY_SECONDS)

    def turn() -> float:
        try:
            run = run_if_due(job, timezone.now())
            seconds = seconds_to_next(job)
        except (DatabaseError, psycopg.Error) as error:
            note_failure(error)
            OUTAGE.add(first_line(error))
            connection.close()
            return backoff.after(0)
        except Exception:
            # For example, the process can start no other thread for the lease.
            logger.exception("Job %s cannot be started", job.name)
            return MAX_SECONDS
        if run is not None:
            # Without a run, nothing was written. Reads may succeed while writes fail.
            OUTAGE.end()
        backoff.failures = 0
        close_old_connections()
        return seconds

    repeat(turn, every=MAX_SECONDS, stop=stop)


def seconds_to_next(job: Job) -> float:
    """Returns the number of seconds until the job is checked again."""
    if not job.enabled():
        return MAX_SECONDS
    now = timezone.now()
    seconds = (upcoming_slot(job, now) - now).total_seconds()
    return min(MAX_SECONDS, seconds) if seconds > 0 else BUSY_SECONDS
