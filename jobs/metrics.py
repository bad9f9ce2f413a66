"""Metrics of jobs and their runs."""

from __future__ import annotations

from datetime import datetime

from prometheus_client import Counter, Histogram

from jobs.models import JobRun
from jobs.selectors import jobs_state, newest_finished_runs
from kernel.telemetry import metrics

# The label is not named `job`, because Prometheus adds a label `job` to every metric.
JOB = "job_name"

RUNS = Counter("coderapi_job_runs", "Finished job runs by outcome: ok or failed.", [JOB, "outcome"])
RUN_SECONDS = Histogram(
    "coderapi_job_run_duration_seconds",
    "Duration of job runs.",
    [JOB],
    buckets=(0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 300, 1800),
)


def count(run: JobRun, *, seconds: float) -> None:
    """Counts a finished run."""
    RUNS.labels(run.job_name, run.state).inc()
    RUN_SECONDS.labels(run.job_name).observe(seconds)


def _ages(now: datetime) -> metrics.Values:
    runs = newest_finished_runs(now).values()
    return {
        (run.job_name,): (now - run.finished_at).total_seconds() for run in runs if run.finished_at
    }


def _failing(now: datetime) -> metrics.Values:
    return {(run.job_name,): float(run.failed) for run in newest_finished_runs(now).values()}


def _late(now: datetime) -> metrics.Values:
    states = jobs_state(now).items()
    return {(job,): float(each["is_late"]) for job, each in states if each["state"] != "never"}


metrics.database_gauge(
    "coderapi_job_last_run_age_seconds", "Time since a job last finished.", _ages, labels=[JOB]
)
metrics.database_gauge(
    "coderapi_job_failing", "1 if a job's last run failed, else 0.", _failing, labels=[JOB]
)
metrics.database_gauge(
    "coderapi_job_late",
    "1 if a job's run takes too long, or its next run has not finished in time, else 0.",
    _late,
    labels=[JOB],
)
