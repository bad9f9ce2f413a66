"""Metrics of the jobs, for Prometheus."""

from __future__ import annotations

from datetime import datetime

from prometheus_client import Counter, Histogram

from jobs.models import JobRun, JobRunQuerySet
from jobs.selectors import late_jobs
from kernel.telemetry import metrics

# A label `job` would meet the one that Prometheus gives to all that it scrapes.
JOB = "job_name"

RUNS = Counter("coderapi_job_runs", "Runs of jobs by outcome: ok or failed.", [JOB, "outcome"])
RUN_SECONDS = Histogram(
    "coderapi_job_run_seconds",
    "How long a run of a job took.",
    [JOB],
    buckets=(0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 300, 1800),
)


def count(run: JobRun, *, seconds: float) -> None:
    """Counts a run that has ended."""
    RUNS.labels(run.job, run.state).inc()
    RUN_SECONDS.labels(run.job).observe(seconds)


def _newest_ended(now: datetime) -> JobRunQuerySet:
    return JobRun.objects.exclude(finished_at=None).newest_of_each_job(now)


def _ages(now: datetime) -> metrics.Values:
    ends = _newest_ended(now).values_list("job", "finished_at")
    return {(job,): (now - ended).total_seconds() for job, ended in ends if ended}


def _failing(now: datetime) -> metrics.Values:
    return {(run.job,): float(run.failed) for run in _newest_ended(now)}


def _late(now: datetime) -> metrics.Values:
    return {(job,): float(late) for job, late in late_jobs(now).items()}


metrics.database_gauge(
    "coderapi_job_age_seconds", "How long ago a job last ended.", _ages, labels=[JOB]
)
metrics.database_gauge(
    "coderapi_job_failing", "1 if a job's last run failed, else 0.", _failing, labels=[JOB]
)
metrics.database_gauge(
    "coderapi_job_late",
    "1 if a job's run takes too long, or its next one has not ended in time, else 0.",
    _late,
    labels=[JOB],
)
