"""Bounds how many threads of this process wait for the database, so that others always answer."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import django.db
from django.conf import settings

# Whoever comes when every place is taken may wait for so long. Usually nobody waits longer.
SHORT_SECONDS = 1.0
# So soon a wait must end to show that the database serves again.
QUICK_SECONDS = 0.25
CROWDED_SECONDS = 2.0
QUEUE_SECONDS = 1.0


class TooManyWaitError(django.db.OperationalError):
    """Too many threads wait for the database already, or it takes too long."""


class Places:
    """Places for threads that wait for one thing.

    When all are taken, others may wait as well, but only for a moment. After somebody has waited in
    vain they are refused at once, until a wait is quick again or some time has passed.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._taken = 0
        self._lock = threading.Lock()
        self._failed_at = float("-inf")

    @contextmanager
    def taken(self, seconds: float) -> Iterator[float]:
        """Counts this thread as one that waits in the block. Yields how many seconds it may.

        A block that raises has waited in vain. Raises: TooManyWaitError.
        """
        begun = time.monotonic()
        with self._lock:
            beyond = self._taken >= self._count
            if beyond and begun < self._failed_at + CROWDED_SECONDS:
                raise TooManyWaitError("too many requests wait for the database")
            self._taken += 1
        try:
            yield min(seconds, SHORT_SECONDS) if beyond else seconds
        except BaseException:
            self._end(begun, in_vain=True)
            raise
        self._end(begun)

    def _end(self, begun: float, *, in_vain: bool = False) -> None:
        now = time.monotonic()
        with self._lock:
            self._taken -= 1
            if in_vain and now >= begun + SHORT_SECONDS:
                self._failed_at = now
            elif not in_vain and self._failed_at < begun and now < begun + QUICK_SECONDS:
                self._failed_at = float("-inf")


@cache
def connection_places() -> Places:
    """Returns the places of those who wait for a connection, or for somebody who has one."""
    return Places(settings.MAX_DATABASE_WAITERS)


@contextmanager
def held(lock: threading.Lock, *, seconds: float = QUEUE_SECONDS) -> Iterator[None]:
    """Holds the lock under which one thread asks the database for all. Raises: TooManyWaitError."""
    if not lock.acquire(blocking=False):
        _wait_for(lock, seconds)
    try:
        yield
    finally:
        lock.release()


def _wait_for(lock: threading.Lock, seconds: float) -> None:
    with connection_places().taken(seconds) as patience:
        if not lock.acquire(timeout=patience):
            raise TooManyWaitError("another request asks the database for the same")
