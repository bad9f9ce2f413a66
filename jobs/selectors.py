"""Reading what ran, and what is to run."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone

from jobs import registry
from jobs.models import JobRun
from jobs.registry import Job
from jobs.schedule import COUNTED_FAILURES, Run, next_slot


def upcoming(now: datetime) -> list[tuple[datetime, Job]]:
    """The next slot of every enabled job, the earliest first; due are those not after now."""
    slots = [
        (upcoming_slot(job.name, every=job.interval(), now=now), job)
        for job in registry.all_jobs()
        if job.enabled()
    ]
    return sorted(slots, key=lambda entry: (entry[0], entry[1].name))


def upcoming_slot(job: str, *, every: timedelta, now: datetime) -> datetime:
    """The job's next slot. Runs of a time to come, of a clock that was ahead, hold nothing up."""
    newest = JobRun.objects.of(job).filter(slot__lte=now).order_by("-slot")[:COUNTED_FAILURES]
    runs = [Run(run.slot, run.finished_at, run.failed) for run in newest]
    return next_slot(runs, every=every, now=now)


def jobs_state(now: datetime | None = None) -> dict[str, Any]:
    """How each job's newest run went.

    Shape: {name: {"state": "ok"|"failed"|"running"|"never", "slot"?: time, "finished_at"?: time}}.
    """
    runs = JobRun.objects.newest_of_each_job(now or timezone.now())
    newest = {run.job: run for run in runs}
    return {job.name: _state(newest.get(job.name)) for job in registry.all_jobs()}


def _state(run: JobRun | None) -> dict[str, Any]:
    if run is None:
        return {"state": "never"}
    return {"state": run.state, "slot": run.slot, "finished_at": run.finished_at}
