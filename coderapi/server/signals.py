"""Receives termination signals, and stops a process's work."""

from __future__ import annotations

import os
import select
import signal
import threading
import time
from collections.abc import Callable, Iterable
from typing import Self

from coderapi.startup.exit_status import ENDING

# Signals within this time after the first one count as the same request to stop. For example,
# `make` forwards a signal that the whole process group has already received.
REPEAT_SECONDS = 3.0


class Signals:
    """Receives signals in a queue, as a context manager. Signals that are ignored stay ignored.

    The operating system may deliver a signal to any thread, and a signal does not interrupt a main
    thread that is about to wait for a lock. So the signals arrive through a pipe, which Python
    writes in each thread (`signal.set_wakeup_fd`).
    """

    def __init__(self, signals: Iterable[signal.Signals] = ENDING) -> None:
        self._signals = signals

    def __enter__(self) -> Self:
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._writer, False)
        self._wakeup = signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        self._handlers = {
            signum: signal.signal(signum, lambda *_: None)
            for signum in self._signals
            if signal.getsignal(signum) is not signal.SIG_IGN
        }
        return self

    def __exit__(self, *_: object) -> None:
        for signum, handler in self._handlers.items():
            signal.signal(signum, handler)
        signal.set_wakeup_fd(self._wakeup)
        os.close(self._writer)
        os.close(self._reader)

    def get(self, timeout: float | None = None) -> int | None:
        """Returns the number of the next signal, 0 after `wake`, or None after the timeout."""
        if not select.select([self._reader], [], [], timeout)[0]:
            return None
        return os.read(self._reader, 1)[0]

    def wake(self) -> None:
        """Makes `get` return 0."""
        os.write(self._writer, bytes([0]))


def run_until_signalled(loop: Callable[[threading.Event], None]) -> None:
    """Runs the loop in a thread until a signal arrives.

    The first signal sets the loop's event, so that the loop can stop. The second ends the process.

    Raises: the loop's exception; SystemExit after a second signal.
    """
    stop = threading.Event()
    errors: list[BaseException] = []

    def run() -> None:
        try:
            loop(stop)
        except BaseException as error:  # noqa: BLE001 - raised again in the main thread
            errors.append(error)
        signals.wake()

    repeats_from = float("inf")
    with Signals() as signals:
        threading.Thread(target=run, name="loop", daemon=True).start()
        while signum := signals.get():
            if time.monotonic() > repeats_from:
                raise SystemExit(128 + signum)
            if not stop.is_set():
                stop.set()
                repeats_from = time.monotonic() + REPEAT_SECONDS
    if errors:
        raise errors[0]
