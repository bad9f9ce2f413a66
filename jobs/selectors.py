"""Queries the runs of jobs, and computes the next slots and which jobs are late.

A slot is the scheduled time of a run. A regular slot is a multiple of the interval since 1970, so
that every worker computes the same slots. The slot of a retry is computed from the failed run.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone

from jobs import registry
from jobs.models import JobRun
from jobs.registry import Job
from kernel.text.durations import floor

MIN_INTERVAL = timedelta(seconds=1)
FIRST_RETRY = timedelta(seconds=30)
MAX_RETRY = timedelta(hours=1)
COUNTED_FAILURES = 8
# One index lookup for each job, however many runs are stored. Runs scheduled in the future are
# ignored. Such runs exist if the clock of a server was wrong.
_NEWEST = """
SELECT run.* FROM unnest(%s::text[]) AS name CROSS JOIN LATERAL (
    SELECT * FROM jobs_jobrun WHERE job_name = name AND scheduled_at <= %s {}
    ORDER BY scheduled_at DESC LIMIT {}
) AS run ORDER BY run.scheduled_at DESC
"""
NEWEST = _NEWEST.format("", 1)
NEWEST_FINISHED = _NEWEST.format("AND finished_at IS NOT NULL", 1)
LAST = _NEWEST.format("", COUNTED_FAILURES)


def upcoming(now: datetime) -> list[tuple[datetime, Job]]:
    """Returns all enabled jobs and their next slots, earliest slot first."""
    jobs = [job for job in registry.all_jobs() if job.enabled()]
    last = defaultdict(list)
    for run in JobRun.objects.raw(LAST, [[job.name for job in jobs], now]):
        last[run.job_name].append(run)
    slots = [(next_slot(last[job.name], every=job.interval(), now=now), job) for job in jobs]
    return sorted(slots, key=lambda entry: (entry[0], entry[1].name))


def upcoming_slot(job: Job, now: datetime) -> datetime:
    """Returns the job's next slot. If it is not in the future, the job is due."""
    runs = list(JobRun.objects.raw(LAST, [[job.name], now]))
    return next_slot(runs, every=job.interval(), now=now)


def slot_of(moment: datetime, *, every: timedelta) -> datetime:
    """Returns the latest regular slot that is not after the moment."""
    return floor(moment, max(every, MIN_INTERVAL))


def next_slot(runs: Sequence[JobRun], *, every: timedelta, now: datetime) -> datetime:
    """Returns the next slot. If it is not in the future, the job is due.

    `runs` are the job's last runs, newest first. If several slots were missed, returns only the
    latest one.
    """
    current = slot_of(now, every=every)
    if not runs:
        return current
    newest = runs[0]
    regular = max(slot_of(newest.scheduled_at, every=every) + max(every, MIN_INTERVAL), current)
    if not newest.failed or newest.finished_at is None:
        return regular
    # Count the failed runs since the last run that did not fail.
    failures = next((count for count, run in enumerate(runs) if not run.failed), len(runs))
    return min(regular, newest.finished_at + retry_delay(failures))


def retry_delay(failures: int) -> timedelta:
    """Returns the delay before the retry after this number of consecutive failures."""
    doublings = min(max(failures, 1), COUNTED_FAILURES) - 1
    return min(MAX_RETRY, FIRST_RETRY * (1 << doublings))


def newest_runs(now: datetime) -> dict[str, JobRun]:
    """Returns the newest run of each registered job, by the name of the job."""
    return _newest(NEWEST, now)


def newest_finished_runs(now: datetime) -> dict[str, JobRun]:
    """Returns the newest finished run of each registered job, by the name of the job."""
    return _newest(NEWEST_FINISHED, now)


def _newest(query: str, now: datetime) -> dict[str, JobRun]:
    names = [job.name for job in registry.all_jobs()]
    return {run.job_name: run for run in JobRun.objects.raw(query, [names, now])}


def is_late(job: Job, run: JobRun | None, *, now: datetime) -> bool:
    """Returns whether the newest run takes too long, or whether the next run is overdue.

    `run` is the job's newest run. A job without runs is not late, because it may be new.
    """
    if run is None or not job.enabled():
        return False
    if run.finished_at is None:
        return now - run.started_at > job.max_duration
    return now - run.finished_at > job.interval() + job.max_duration


def jobs_state(now: datetime | None = None) -> dict[str, Any]:
    """Returns the states of all jobs, by the name of the job.

    Shape: {name: {"state": "ok"|"failed"|"running"|"never", "is_late": bool, "scheduled_at"?: time,
    "finished_at"?: time}}.
    """
    now = now or timezone.now()
    newest = newest_runs(now)
    return {job.name: _state(job, newest.get(job.name), now) for job in registry.all_jobs()}


def _state(job: Job, run: JobRun | None, now: datetime) -> dict[str, Any]:
    late = is_late(job, run, now=now)
    if run is None:
        return {"state": "never", "is_late": late}
    return {
        "state": run.state,
        "is_late": late,
        "scheduled_at": run.scheduled_at,
        "finished_at": run.finished_at,
    }
