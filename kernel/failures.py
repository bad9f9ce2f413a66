"""Remembers the failures of another server, such as Redis or Coder: since when, and why."""

from __future__ import annotations

import logging
import threading
import time
from datetime import datetime

from django.utils import timezone

from kernel.telemetry.logs import REPEATS

log = logging.getLogger(__name__)
log.addFilter(REPEATS)


class Failures:
    """The failures since the last success. Threads may use it at the same time.

    `failed` is the log line for a failure, with `%s` for the reason. Repeated lines are counted
    instead of written. `recovered` is the log line for the first success after failures.
    """

    def __init__(self, failed: str = "", recovered: str = "") -> None:
        self._failed, self._recovered = failed, recovered
        self._lock = threading.Lock()
        self._forget()

    def _forget(self) -> None:
        self.count = 0
        self.reason = ""
        self.since: datetime | None = None
        # The monotonic time of the newest failure.
        self.last_at = float("-inf")

    def add(self, reason: str) -> datetime:
        """Records and logs a failure. Returns the time of the first one since the last success."""
        with self._lock:
            self.count += 1
            self.reason = reason
            self.since = since = self.since or timezone.now()
            self.last_at = time.monotonic()
        if self._failed:
            log.warning(self._failed, reason)
        return since

    def end(self) -> None:
        """Forgets the failures after a success."""
        if not self.count:
            return
        with self._lock:
            self._forget()
        if self._recovered:
            log.info(self._recovered)
