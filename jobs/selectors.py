"""Reads of the runs: what ran, what is due next, what is late.

A regular slot is a multiple of the interval since 1970, so that every worker names the same one. A
failed run is followed by a slot of its own, which every worker computes from the failed run's row.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from django.utils import timezone

from jobs import registry
from jobs.models import JobRun
from jobs.registry import Job

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MIN_INTERVAL = timedelta(seconds=1)
FIRST_RETRY = timedelta(seconds=30)
MAX_RETRY = timedelta(hours=1)
COUNTED_FAILURES = 8


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
    return next_slot(list(newest), every=every, now=now)


def slot_of(moment: datetime, *, every: timedelta) -> datetime:
    """Returns the regular slot that the moment lies in."""
    interval = max(every, MIN_INTERVAL)
    return EPOCH + (moment - EPOCH) // interval * interval


def next_slot(runs: Sequence[JobRun], *, every: timedelta, now: datetime) -> datetime:
    """Returns the slot to run next; it is due when it is not after now. `runs`: newest first.

    Slots that were missed are not made up for: only the newest of them counts.
    """
    current = slot_of(now, every=every)
    if not runs:
        return current
    newest = runs[0]
    regular = max(slot_of(newest.slot, every=every) + max(every, MIN_INTERVAL), current)
    if not newest.failed or newest.finished_at is None:
        return regular
    return min(regular, newest.finished_at + retry_delay(failures_of(runs)))


def failures_of(runs: Sequence[JobRun]) -> int:
    """Counts the runs that failed since the last one that did not."""
    return next((count for count, run in enumerate(runs) if not run.failed), len(runs))


def retry_delay(failures: int) -> timedelta:
    """Returns the pause after so many failures in a row."""
    doublings = min(max(failures, 1), COUNTED_FAILURES) - 1
    return min(MAX_RETRY, FIRST_RETRY * (1 << doublings))


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
