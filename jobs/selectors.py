"""Reads of the runs: what ran, what is due next, what is late."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone

from jobs import registry
from jobs.models import JobRun
from jobs.registry import Job
from jobs.schedule import COUNTED_FAILURES, Run, next_slot


def upcoming(now: datetime) -> list[tuple[datetime, Job]]:
    """Lists every enabled job with its next slot, the earliest first."""
    slots = [
        (upcoming_slot(job.name, every=job.interval(), now=now), job)
        for job in registry.all_jobs()
        if job.enabled()
    ]
    return sorted(slots, key=lambda entry: (entry[0], entry[1].name))


def upcoming_slot(job: str, *, every: timedelta, now: datetime) -> datetime:
    """Returns the job's next slot; it is due when it is not after now.

    Runs in the future, of a clock that was ahead, hold nothing up.
    """
    newest = JobRun.objects.of(job).filter(slot__lte=now).order_by("-slot")[:COUNTED_FAILURES]
    runs = [Run(run.slot, run.finished_at, run.failed) for run in newest]
    return next_slot(runs, every=every, now=now)


def newest_runs(now: datetime) -> dict[str, JobRun]:
    """Returns the newest run of every job that has run, by the job's name."""
    return {run.job: run for run in JobRun.objects.newest_of_each_job(now)}


def is_late(job: Job, run: JobRun | None, *, now: datetime) -> bool:
    """Tells whether a run takes longer than the job has, or the next one has not ended in time.

    `run` is the job's newest. A job that never ran is not late: nobody knows since when it is due.
    """
    if run is None or not job.enabled():
        return False
    if run.finished_at is None:
        return now - run.started_at > job.within
    return now - run.finished_at > job.interval() + job.within


def late_jobs(now: datetime) -> dict[str, bool]:
    """Tells of each job that has run whether it is late, by name."""
    newest = newest_runs(now)
    return {
        job.name: is_late(job, newest[job.name], now=now)
        for job in registry.all_jobs()
        if job.name in newest
    }


def jobs_state(now: datetime | None = None) -> dict[str, Any]:
    """Returns the state of each job by name.

    Shape: {name: {"state": "ok"|"failed"|"running"|"never", "late": bool, "slot"?: time,
    "finished_at"?: time}}.
    """
    now = now or timezone.now()
    newest = newest_runs(now)
    return {job.name: _state(job, newest.get(job.name), now) for job in registry.all_jobs()}


def _state(job: Job, run: JobRun | None, now: datetime) -> dict[str, Any]:
    late = is_late(job, run, now=now)
    if run is None:
        return {"state": "never", "late": late}
    return {"state": run.state, "late": late, "slot": run.slot, "finished_at": run.finished_at}
