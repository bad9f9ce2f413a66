"""Work that runs again and again until somebody asks for an end; a wait ends with that at once."""

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

# One wish to end can come as several signals: make passes on what its whole group was sent.
REPEAT_SECONDS = 3.0


def repeat(turn: Callable[[], float | None], *, every: float, stop: threading.Event) -> None:
    """Runs the turn every so many seconds until the event is set, which ends a wait at once.

    A turn that returns a number decides how many seconds pass before the next one.
    """
    while not stop.is_set():
        pause = turn()
        stop.wait(every if pause is None else pause)


@dataclass
class Backoff:
    """Seconds to wait before another try: they double from `first` up to `longest`.

    They begin at `first` again after a try that lived for `settled` seconds.
    """

    first: float = 0.25
    longest: float = 30.0
    settled: float = 60.0
    failures: int = 0

    def after(self, lived: float) -> float:
        """Counts a failure of something that lived so long. Returns the seconds to wait."""
        if lived >= self.settled:
            self.failures = 0
        delay = min(self.longest, self.first * 2.0 ** min(self.failures, 32))
        self.failures += 1
        return delay


@contextmanager
def signals_into(put: Callable[[int], object]) -> Iterator[None]:
    """Passes on signals that ask for an end, apart from those that the process was told to ignore.

    A handler only puts: code that did more could meet itself half done.
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
    """Runs the loop in a thread. A signal sets its event; a second wish to end leaves at once.

    Raises: what the loop raises; SystemExit after a second signal.
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

    impatient_from = float("inf")
    with signals_into(events.put):
        threading.Thread(target=run, name="loop", daemon=True).start()
        while isinstance(event := events.get(), int):
            if time.monotonic() > impatient_from:
                raise SystemExit(128 + event)
            if not stop.is_set():
                stop.set()
                impatient_from = time.monotonic() + REPEAT_SECONDS
    if event is not None:
        raise event


def is_alive(pid: int) -> bool:
    """Tells whether a process has this number now, ours or somebody else's."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
