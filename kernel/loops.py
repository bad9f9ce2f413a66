"""Runs repeated work that can be stopped at any time, and handles termination signals."""

from __future__ import annotations

import os
import select
import signal
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Self

from kernel.exit_status import ENDING

# Set when this process has been asked to stop. It may serve requests for some time after that.
stopping = threading.Event()

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


def is_alive(pid: int) -> bool:
    """Returns whether a process with this pid exists, even if it belongs to another user."""
    try:
        with suppress(PermissionError):
            os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
