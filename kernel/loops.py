"""Repeated work that stops at once when asked to, and the signals that ask for it."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any

ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)

# Signals that follow the first one sooner count as the same request: make passes on the signal that
# its whole process group received.
REPEAT_SECONDS = 3.0


def repeat(turn: Callable[[], float | None], *, every: float, stop: threading.Event) -> None:
    """Runs the turn every `every` seconds until the event is set, which also ends a wait.

    If a turn returns a number, the next one follows after that many seconds.
    """
    while not stop.is_set():
        pause = turn()
        stop.wait(every if pause is None else pause)


@dataclass
class Backoff:
    """Seconds to wait before a retry. They double from `first` up to `longest`.

    After a try that lasted `settled` seconds they start at `first` again.
    """

    first: float = 0.25
    longest: float = 30.0
    settled: float = 60.0
    failures: int = 0

    def after(self, lived: float) -> float:
        """Counts a failure after that many seconds. Returns the seconds to wait."""
        if lived >= self.settled:
            self.failures = 0
        delay = min(self.longest, self.first * 2.0 ** min(self.failures, 32))
        self.failures += 1
        return delay


@contextmanager
def signals_into(put: Callable[[int], object]) -> Iterator[None]:
    """Passes the number of each signal that asks for an end to `put`, except ignored signals.

    The handlers do nothing else, because a signal can interrupt any statement.
    """
    before = {
        signum: signal.signal(signum, lambda number, _frame: put(number))
        for signum in ENDING
        if signal.getsignal(signum) is not signal.SIG_IGN
    }
    try:
        yield
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)


def run_until_signalled(loop: Callable[[threading.Event], None]) -> None:
    """Runs the loop in a thread. The first signal sets its event, the second ends the process.

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
    """Returns whether a process has this number now, even another user's."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
