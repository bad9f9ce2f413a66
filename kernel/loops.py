"""Runs repeated work that can be stopped at any time, and handles termination signals."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any

ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)

# Signals within this time after the first one count as the same request to stop. For example,
# `make` forwards a signal that the whole process group has already received.
REPEAT_SECONDS = 3.0


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


@contextmanager
def signals_into(
    put: Callable[[int], object], signals: Iterable[signal.Signals] = ENDING
) -> Iterator[None]:
    """Passes the number of each signal to `put`. Signals that are ignored stay ignored.

    The handlers do nothing else, because a signal can interrupt any statement.
    """
    before = {
        signum: signal.signal(signum, lambda number, _frame: put(number))
        for signum in signals
        if signal.getsignal(signum) is not signal.SIG_IGN
    }
    try:
        yield
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)


def run_until_signalled(loop: Callable[[threading.Event], None]) -> None:
    """Runs the loop in a thread until a signal arrives.

    The first signal sets the loop's event, so that the loop can stop. The second ends the process.

    Raises: the loop's exception; SystemExit after a second signal.
    """
    events: SimpleQueue[Any] = SimpleQueue()
    stop = threading.Event()

    def run() -> None:
        try:
            loop(stop)
        except BaseException as error:  # noqa: BLE001 - raised again in the main thread
            events.put(error)
        else:
            events.put(None)

    repeats_from = float("inf")
    with signals_into(events.put):
        threading.Thread(target=run, name="loop", daemon=True).start()
        while isinstance(event := events.get(), int):
            if time.monotonic() > repeats_from:
                raise SystemExit(128 + event)
            if not stop.is_set():
                stop.set()
                repeats_from = time.monotonic() + REPEAT_SECONDS
    if event is not None:
        raise event


def is_alive(pid: int) -> bool:
    """Returns whether a process with this pid exists, even if it belongs to another user."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
