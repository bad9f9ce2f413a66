"""Counts in memory what requests report, and writes the counts every few seconds.

A request does not wait for the database. If the process is killed, it loses the counts of these
seconds.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

PAUSE_SECONDS = 2.0

log = logging.getLogger(__name__)


class Counts[K, V]:
    """The counts that are not written yet, and a thread that writes them.

    The thread ends when there is nothing to write.
    """

    def __init__(self, name: str, write: Callable[[dict[K, V]], object]) -> None:
        self._name = name
        self._write = write
        self._lock = threading.Lock()
        self._waiting: dict[K, V] = {}
        self.is_running = False

    def update(self, change: Callable[[dict[K, V]], object]) -> None:
        """Calls `change` with the counts that are not written yet. It may add to them."""
        with self._lock:
            change(self._waiting)
            if not self.is_running:
                threading.Thread(target=self._run, name=self._name, daemon=True).start()
                self.is_running = True

    def _run(self) -> None:
        while counted := self._next():
            try:
                self._write(counted)
            except Exception as error:  # noqa: BLE001 - only counts are lost
                log.warning("%s of %s s not counted: %s", self._name, PAUSE_SECONDS, error)

    def _next(self) -> dict[K, V]:
        """Returns the counts to write. An empty dictionary ends the thread."""
        time.sleep(PAUSE_SECONDS)
        with self._lock:
            counted, self._waiting = self._waiting, {}
            self.is_running = bool(counted)
        return counted
