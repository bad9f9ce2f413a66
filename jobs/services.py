"""Runs jobs and records the runs. Each slot runs at most once."""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from threading import Event, Thread
from typing import Any

import django.db
import psycopg

from jobs import metrics
from jobs.models import JobRun
from jobs.registry import Job, JobFailedError, Result
from jobs.selectors import upcoming_slot
from kernel.db.connections import (
    LimitedConnection,
    connect_directly,
    is_unavailable,
    lock_number,
    setting,
)
from kernel.telemetry.logs import scrub

logger = logging.getLogger(__name__)

ABANDONED = "The process ended before the job finished."
MAX_ERROR_CHARACTERS = 4000
RUN_RETENTION = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class Lease:
    """How long the lock of a job outlives a frozen process, and the interval of its renewal."""

    seconds: int = 15
    renewal_seconds: float = 4.0


LEASE = Lease()


@contextmanager
def job_lock(name: str, *, lease: Lease = LEASE) -> Iterator[bool]:
    """Tries to acquire the job's lock for the block. Yields whether it was acquired.

    A process that runs the job holds the lock. The lock is a lease: a thread renews it, and
    PostgreSQL ends its session if the process or its host no longer does. Without the lease, the
    connection of this thread is shut down, because a frozen database would never answer on it. The
    run may continue until then, so the unique row of the slot is also needed to prevent a second
    run.
    """
    with connect_directly(LimitedConnection) as connection:
        connection.execute(setting({"idle_session_timeout": f"{lease.seconds}s"}).encode())
        row = connection.execute(
            "SELECT pg_try_advisory_lock(%s)", [lock_number(f"jobs.{name}")]
        ).fetchone()
        try:
            with _renewed(connection, lease.renewal_seconds):
                yield bool(row and row[0])
        finally:
            # PostgreSQL releases the locks of a closed connection only after a moment.
            with suppress(psycopg.Error):
                connection.execute("SELECT pg_advisory_unlock_all()")


@contextmanager
def _renewed(connection: psycopg.Connection[Any], seconds: float) -> Iterator[None]:
    """Keeps the session from being idle in the block."""
    ended, of_thread = Event(), django.db.connections["default"]

    def renew() -> None:
        while not ended.wait(seconds):
            try:
                connection.execute("SELECT")
            except psycopg.Error:
                # If the connection is lost, so is the lease.
                _shut_down(of_thread.connection)

    thread = Thread(target=renew, name="lease", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _shut_down(connection: Any) -> None:
    """Makes a statement fail that another thread is waiting for on the connection."""
    with suppress(OSError, psycopg.Error):
        if connection is not None:
            # The copy of the descriptor stays valid if the other thread closes the connection.
            with socket.socket(fileno=os.dup(connection.pgconn.socket)) as end:
                end.shutdown(socket.SHUT_RDWR)


def run_if_due(job: Job, now: datetime) -> JobRun | None:
    """Runs the job if it is due, and returns the finished run.

    Returns None if the job is not due, or if another process runs the job.
    """
    fail_abandoned_runs(now, job=job.name)
    slot = upcoming_slot(job, now)
    if slot > now or not job.enabled():
        return None
    return run_job(job, now, slot=slot)


def run_job(
    job: Job, now: datetime, *, slot: datetime | None = None, lease: Lease = LEASE
) -> JobRun | None:
    """Runs the job and returns the finished run. The default for `slot` is `now`.

    Returns None if another process runs the job, or if the slot already has a run. Exceptions of
    the job are logged and stored in the run.
    """
    with job_lock(job.name, lease=lease) as acquired:
        if not acquired:
            return None
        process = f"{socket.gethostname()}:{os.getpid()}"[:255]
        run, is_new = JobRun.objects.get_or_create(
            job_name=job.name,
            scheduled_at=slot or now,
            defaults={"started_at": now, "process": process},
        )
        return _execute(job, run, now) if is_new else None


def _execute(job: Job, run: JobRun, now: datetime) -> JobRun:
    started = time.monotonic()
    try:
        result = job.run(now)
        run.affected_rows, run.summary = result if isinstance(result, Result) else (result, "")
    except JobFailedError as error:
        logger.warning("Job %s failed: %s", job.name, error, extra={"job": job.name})
        run.error = str(error) or "It failed."
    except Exception as error:
        exc_info = None if is_unavailable(error) else error
        reason = str(error).partition("\n")[0]
        logger.error(
            "Job %s failed: %s", job.name, reason, extra={"job": job.name}, exc_info=exc_info
        )
        run.error = f"{type(error).__name__}: {error}"
    # PostgreSQL rejects NUL characters in strings.
    run.error = scrub(run.error).replace("\0", "")[:MAX_ERROR_CHARACTERS]
    seconds = time.monotonic() - started
    run.finished_at = now + timedelta(seconds=seconds)
    _finish(run)
    metrics.count(run, seconds=seconds)
    return run


def _finish(run: JobRun) -> None:
    unfinished = JobRun.objects.unfinished().filter(pk=run.pk)
    found = {
        name: getattr(run, name) for name in ("finished_at", "affected_rows", "summary", "error")
    }
    if not unfinished.update(**found):
        logger.warning("Job %s finished after its run was marked as failed", run.job_name)
    elif not run.failed:
        logger.debug(
            "Job %s: ok", run.job_name, extra={"job": run.job_name, "rows": run.affected_rows}
        )


def fail_abandoned_runs(now: datetime, *, job: str = "") -> int:
    """Marks unfinished runs as failed if no process runs the job.

    Returns the number of marked runs. If `job` is given, only runs of this job are checked.
    """
    unfinished = JobRun.objects.unfinished()
    selected = unfinished.filter(job_name=job) if job else unfinished
    marked = 0
    for name in set(selected.values_list("job_name", flat=True)):
        with job_lock(name) as acquired:
            if acquired:
                marked += unfinished.filter(job_name=name).update(finished_at=now, error=ABANDONED)
    return marked


def prune_runs(now: datetime) -> int:
    """Deletes old runs, except the newest run of each job. Returns the number of deleted runs."""
    # A worker checks only the runs of registered jobs. This call also checks runs of removed jobs.
    fail_abandoned_runs(now)
    # Runs scheduled in the future exist if the clock of a server was wrong.
    past = JobRun.objects.filter(scheduled_at__lte=now).order_by("job_name", "-scheduled_at")
    newest = past.distinct("job_name").values("pk")
    old = JobRun.objects.filter(started_at__lt=now - RUN_RETENTION).exclude(pk__in=newest)
    return old.delete()[0]
