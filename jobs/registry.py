"""The registered jobs. An app registers its jobs in its module `jobs`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import NamedTuple

from django.utils.module_loading import autodiscover_modules


class JobFailedError(Exception):
    """A job raises this for an expected failure. It is logged without a traceback."""


class Result(NamedTuple):
    """The number of rows that a run wrote or deleted, and a sentence about them."""

    rows: int
    summary: str


@dataclass(frozen=True, kw_only=True)
class Job:
    """A scheduled job: its name, its schedule, and the function to run.

    `run` is a function with one argument, the current time. It returns the number of rows that it
    wrote or deleted, a Result if these are of several kinds, or None if it does not count rows. It
    is called outside a transaction. It must be idempotent: if the process is killed, the function
    is called again later. A run that takes longer than `max_duration` is late.
    """

    name: str
    # A callable is called each time the next slot is computed, because the interval may change.
    every: timedelta | Callable[[], timedelta]
    run: Callable[[datetime], int | Result | None]
    max_duration: timedelta = timedelta(minutes=10)
    enabled: Callable[[], bool] = lambda: True

    def interval(self) -> timedelta:
        return self.every() if callable(self.every) else self.every


_jobs: dict[str, Job] = {}


def register(job: Job) -> Job:
    """Registers the job, and returns it. Raises: ValueError if its name is registered."""
    if job.name in _jobs:
        raise ValueError(f"There are two jobs named {job.name!r}.")
    _jobs[job.name] = job
    return job


@cache
def _discovered() -> Mapping[str, Job]:
    """Imports the modules `jobs` of all apps. Returns their jobs by name."""
    autodiscover_modules("jobs")
    return _jobs


def all_jobs() -> list[Job]:
    """Returns all jobs, sorted by name."""
    return [job for _, job in sorted(_discovered().items())]


def find(name: str) -> Job:
    return _discovered()[name]
