"""Runs jobs, each at most once a slot, and keeps account of it."""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

from django.db import IntegrityError, transaction

from jobs import metrics
from jobs.models import JobRun
from jobs.registry import Job, JobFailedError
from jobs.selectors import upcoming_slot
from kernel.db.connections import connect_directly, is_unavailable, lock_number
from kernel.telemetry.logs import scrub

logger = logging.getLogger(__name__)

ABANDONED = "The process that ran it ended before the job did."
MAX_ERROR_CHARACTERS = 4000
KEPT = timedelta(days=30)


@contextmanager
def job_lock(name: str) -> Iterator[bool]:
    """Takes the job's lock until the end of the block, and yields whether it was free.

    It tells, too, whether a run's process still lives. It is no fence, since it goes with its
    connection: the fence is the row of the slot.
    """
    with connect_directly() as connection:
        row = connection.execute(
            "SELECT pg_try_advisory_lock(%s)", [lock_number(f"jobs.{name}")]
        ).fetchone()
        yield bool(row and row[0])


def run_if_due(job: Job, now: datetime) -> JobRun | None:
    """Runs the job if a slot of it is due, and returns the finished run.

    Returns None when nothing is due, or another process has it.
    """
    fail_abandoned_runs(now, job=job.name)
    slot = upcoming_slot(job.name, every=job.interval(), now=now)
    if slot > now or not job.enabled():
        return None
    return run_job(job, now, slot=slot)


def run_job(job: Job, now: datetime, *, slot: datetime | None = None) -> JobRun | None:
    """Runs the job and returns the finished run. Without a slot the run stands for now.

    Returns None when another process runs the job or has had the slot. What the job raises is
    logged and kept in the row.
    """
    with job_lock(job.name) as mine:
        if not mine:
            return None
        run = _begin(job, now, slot=slot or now)
        return run and _carry_out(job, run, now)


def _begin(job: Job, now: datetime, *, slot: datetime) -> JobRun | None:
    """Makes the row that stands for the run. Returns None when the slot has one."""
    host = f"{socket.gethostname()}:{os.getpid()}"[:255]
    try:
        with transaction.atomic():
            return JobRun.objects.create(job=job.name, slot=slot, started_at=now, host=host)
    except IntegrityError:
        return None


def _carry_out(job: Job, run: JobRun, now: datetime) -> JobRun:
    begun = time.monotonic()
    try:
        run.rows = job.run(now)
    except JobFailedError as error:
        logger.warning("Job %s failed: %s", job.name, error, extra={"job": job.name})
        run.error = scrub(str(error) or "It failed.")[:MAX_ERROR_CHARACTERS]
    except Exception as error:
        trace = None if is_unavailable(error) else error
        sentence = str(error).partition("\n")[0]
        logger.error(
            "Job %s failed: %s", job.name, sentence, extra={"job": job.name}, exc_info=trace
        )
        run.error = scrub(f"{type(error).__name__}: {error}")[:MAX_ERROR_CHARACTERS]
    lasted = time.monotonic() - begun
    run.finished_at = now + timedelta(seconds=lasted)
    _finish(run)
    metrics.count(run, seconds=lasted)
    return run


def _finish(run: JobRun) -> None:
    # NUL may come with an error's text, and PostgreSQL takes none.
    run.error = run.error.replace("\0", "")
    written = (
        JobRun.objects.unfinished()
        .filter(pk=run.pk)
        .update(finished_at=run.finished_at, rows=run.rows, error=run.error)
    )
    if not written:
        logger.warning("Job %s ended after its run had been given up", run.job)
        return
    logger.info("Job %s: %s", run.job, run.state, extra={"job": run.job, "rows": run.rows})


def fail_abandoned_runs(now: datetime, *, job: str = "") -> int:
    """Marks unfinished runs as failed if nobody runs them any more. Returns how many.

    Only those of one job, if it is named.
    """
    unfinished = JobRun.objects.unfinished()
    found = unfinished.of(job) if job else unfinished
    marked = 0
    for name in found.order_by("job").values_list("job", flat=True).distinct():
        with job_lock(name) as mine:
            if mine:
                marked += unfinished.of(name).update(finished_at=now, error=ABANDONED)
    return marked


def prune_runs(now: datetime) -> int:
    """Removes old runs, but never the newest of a job. Returns how many."""
    # Also those of jobs that are no longer there, which nobody else looks after.
    fail_abandoned_runs(now)
    newest = JobRun.objects.newest_of_each_job(now).values("pk")
    old = JobRun.objects.filter(started_at__lt=now - KEPT).exclude(pk__in=newest)
    return old.delete()[0]
