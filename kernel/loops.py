"""Runs repeated work that can be stopped at any time."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

# Set when this process has been asked to stop. It may serve requests for some time after that.
stopping = threading.Event()


def repeat(turn: Callable[[], float | None], *, every: float, stop: threading.Event) -> None:
    """Calls `turn` every `every` seconds until `stop` is set. Setting `stop` also ends the pause.

    If `turn` returns a number, the next call follows after that many seconds.
    """
    while not stop.is_set():
        pause = turn()
        stop.wait(every if pause is None else pause)


@dataclass
class Backoff:
    """Computes the delay before the next retry, in seconds.

    The delay doubles after each failure, from `first` up to `longest`. After an attempt that lasted
    at least `settled` seconds, it starts at `first` again.
    """

    first: float = 0.25
    longest: float = 30.0
    settled: float = 60.0
    failures: int = 0

    def after(self, lived: float) -> float:
        """Counts the failure of an attempt, and returns the delay before the next one in seconds.

        `lived` is the number of seconds that the attempt lasted.
        """
        if lived >= self.settled:
            self.failures = 0
        delay = min(self.longest, self.first * 2.0 ** min(self.failures, 32))
        self.failures += 1
        return delay


def is_alive(pid: int) -> bool:
    """Returns whether a process with this pid exists, even if it belongs to another user."""
    try:
        with suppress(PermissionError):
            os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
