"""Signals as events in a queue. Handlers only put: more than that could meet itself half done."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from queue import SimpleQueue
from typing import Any

ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)

# One wish to end can come as several signals: make passes on what its whole group was sent.
REPEAT_SECONDS = 3.0


@contextmanager
def signals_into(put: Callable[[int], object]) -> Iterator[None]:
    """Within it, signals that ask for an end are put; those that we were told to ignore are not."""
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
    """Runs the loop in a thread; a signal sets its event, a second wish to end leaves at once.

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
