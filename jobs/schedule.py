"""The moments at which a job is due: pure arithmetic on its last runs.

A regular slot is a multiple of the interval since 1970, so that every worker names the same one. A
failed run is followed by a slot of its own, which every worker computes from the failed run's row.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MIN_INTERVAL = timedelta(seconds=1)
FIRST_RETRY = timedelta(seconds=30)
MAX_RETRY = timedelta(hours=1)
COUNTED_FAILURES = 8


@dataclass(frozen=True, slots=True)
class Run:
    """The part of a run that the schedule needs. An unfinished run has no end."""

    slot: datetime
    finished_at: datetime | None
    failed: bool


def slot_of(moment: datetime, *, every: timedelta) -> datetime:
    """Returns the regular slot that the moment lies in."""
    interval = max(every, MIN_INTERVAL)
    return EPOCH + (moment - EPOCH) // interval * interval


def next_slot(runs: list[Run], *, every: timedelta, now: datetime) -> datetime:
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


def failures_of(runs: list[Run]) -> int:
    """Counts the runs that failed since the last one that did not."""
    for count, run in enumerate(runs):
        if not run.failed:
            return count
    return len(runs)


def retry_delay(failures: int) -> timedelta:
    """Returns the pause after so many failures in a row."""
    doublings = min(max(failures, 1), COUNTED_FAILURES) - 1
    return min(MAX_RETRY, FIRST_RETRY * (1 << doublings))
