"""Counts in memory what requests report, and writes the counts every few seconds.

A request does not wait for the database. A web process that ends writes its counts first. If it is
killed, it loses the counts of these seconds.
"""

from __future__ import annotations

import atexit
import logging
import threading
from collections.abc import Callable
from typing import Any

from kernel.db.connections import deadline
from kernel.telemetry.logs import REPEATS

# At exit, a process waits up to this time for the database.
MAX_END_SECONDS = 1.0

log = logging.getLogger(__name__)
log.addFilter(REPEATS)

_all: list[Counts[Any, Any]] = []


def write_at_exit() -> None:
    """Lets this process write its counts when it ends."""
    atexit.register(_write_all)


def _write_all() -> None:
    with deadline(MAX_END_SECONDS):
        for counts in _all:
            counts.write_waiting()


class Counts[K, V]:
    """The counts that are not written yet. A timer starts with the first one, and writes them."""

    # The pause before each write.
    pause_seconds = 2.0

    def __init__(self, name: str, write: Callable[[dict[K, V]], object]) -> None:
        self._name = name
        self._write = write
        self._lock = threading.Lock()
        self._writing = threading.Lock()
        self._waiting: dict[K, V] = {}
        _all.append(self)

    def update(self, change: Callable[[dict[K, V]], object]) -> None:
        """Calls `change` with the counts that are not written yet. It may add to them."""
        with self._lock:
            if not self._waiting:
                timer = threading.Timer(self.pause_seconds, self.write_waiting)
                timer.name, timer.daemon = self._name, True
                timer.start()
            change(self._waiting)

    def discard(self) -> None:
        """Discards the counts that are not written yet, after the end of an unfinished write."""
        with self._writing, self._lock:
            self._waiting = {}

    def write_waiting(self) -> None:
        with self._writing:
            with self._lock:
                counted, self._waiting = self._waiting, {}
            try:
                if counted:
                    self._write(counted)
            except Exception as error:  # noqa: BLE001 - only counts are lost
                log.warning("%s of %s s not counted: %s", self._name, self.pause_seconds, error)
