"""The jobs that exist. An app registers its own in its module `jobs`, found at the start."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

# An interval that a setting decides is asked for each time.
type Interval = timedelta | Callable[[], timedelta]


class JobError(Exception):
    """A job that cannot be registered or found; the message names it."""


class JobFailedError(Exception):
    """A failure that the job foresaw: the message says all, without a traceback."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """A plain function of `now` with its name, its interval and the time that it may take.

    `run` returns how many rows it wrote or removed, or None where that says nothing. It runs
    outside a transaction, may be killed at any point and is run again, so it must be repeatable.
    """

    name: str
    every: Interval
    run: Callable[[datetime], int | None]
    within: timedelta = timedelta(minutes=10)
    enabled: Callable[[], bool] = lambda: True

    def interval(self) -> timedelta:
        return self.every() if callable(self.every) else self.every


_jobs: dict[str, Job] = {}


def register(job: Job) -> Job:
    """Adds the job to those that run, and returns it. Raises: JobError when the name is taken."""
    if job.name in _jobs:
        raise JobError(f"There are two jobs named {job.name!r}.")
    _jobs[job.name] = job
    return job


def all_jobs() -> list[Job]:
    """Lists every job, by name."""
    return [_jobs[name] for name in sorted(_jobs)]


def find(name: str) -> Job:
    """Returns the job of that name. Raises: JobError when there is none."""
    try:
        return _jobs[name]
    except KeyError:
        known = ", ".join(sorted(_jobs))
        raise JobError(f"There is no job named {name!r}; there are {known}.") from None
