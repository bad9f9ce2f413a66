"""Running jobs, each at most once a slot, and keeping account of it."""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Callable
from datetime import datetime, timedelta

from django.db import IntegrityError, transaction
from django.utils import timezone

from jobs import metrics
from jobs.locks import job_lock
from jobs.models import JobRun
from jobs.registry import Job, JobFailedError
from jobs.selectors import upcoming
from kernel.telemetry.logs import scrub

logger = logging.getLogger(__name__)

ABANDONED = "The process that ran it ended before the job did."
MOST_ERROR_CHARACTERS = 4000
KEPT = timedelta(days=30)


def run_due(now: datetime, *, stopping: Callable[[], bool] = lambda: False) -> list[JobRun]:
    """The runs of all that was due, one after the other; `stopping` is asked between two."""
    fail_abandoned_runs(now)
    runs = []
    for slot, job in upcoming(now):
        if slot > now or stopping():
            break
        if run := run_job(job, timezone.now(), slot=slot):
            runs.append(run)
    return runs


def run_job(job: Job, now: datetime, *, slot: datetime | None = None) -> JobRun | None:
    """The finished run, or None when another process runs the job or has had the slot.

    Without a slot the run stands for now. What the job raises is logged and kept in the row.
    """
    with job_lock(job.name) as mine:
        if not mine:
            return None
        run = _begin(job, now, slot=slot or now)
        return run and _carry_out(job, run, now)


def _begin(job: Job, now: datetime, *, slot: datetime) -> JobRun | None:
    """The row that stands for the run; None when the slot has one."""
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
        run.error = scrub(str(error) or "It failed.")[:MOST_ERROR_CHARACTERS]
    except Exception as error:
        logger.exception("Job %s failed", job.name, extra={"job": job.name})
        run.error = scrub(f"{type(error).__name__}: {error}")[:MOST_ERROR_CHARACTERS]
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


def fail_abandoned_runs(now: datetime) -> int:
    """How many unfinished runs were marked as failed because nobody runs them any more."""
    marked = 0
    for name in (
        JobRun.objects.unfinished().order_by("job").values_list("job", flat=True).distinct()
    ):
        with job_lock(name) as mine:
            if mine:
                marked += (
                    JobRun.objects.of(name).unfinished().update(finished_at=now, error=ABANDONED)
                )
    return marked


def prune_runs(now: datetime) -> int:
    """How many old runs were removed. The newest of every job stays, however old."""
    newest = JobRun.objects.newest_of_each_job(now).values("pk")
    old = JobRun.objects.filter(started_at__lt=now - KEPT).exclude(pk__in=newest)
    return old.delete()[0]
