"""Runs the thread that writes the reports of all requests of this process, in batches.

A timer is not needed. While a commit is running, new reports wait, and the next commit writes them
all. So batches become larger when commits become slower.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from django.conf import settings

from csp import metrics
from csp.writing.entries import Entry
from csp.writing.store import Store
from kernel.http.errors import commit_unknown, unavailable
from kernel.http.handlers import to_api_error
from kernel.limiter import Limiter

MAX_BATCH = 2_000
MAX_WAITING = 10_000
WAIT_SECONDS = 5.0
# The additional time to wait for a commit that has already started.
LAST_SECONDS = 0.5

log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class Waiting[T]:
    """The items of one request that wait to be committed, and the error if the commit failed."""

    items: Sequence[T]
    batch: Batch[T]
    error: Exception | None = None


class Batch[T]:
    """The requests that are committed together, and the lock that they all wait for."""

    __slots__ = ("_ended", "size", "waiting")

    def __init__(self) -> None:
        self.waiting: list[Waiting[T]] = []
        self.size = 0
        self._ended = threading.Lock()
        self._ended.acquire()

    def end(self) -> None:
        self._ended.release()

    def acquire(self, *, timeout: float) -> bool:
        """Waits for the end of the commit. Returns whether it ended in time.

        The thread of the writer wakes only one request. Each request wakes the next one.
        """
        ended = self._ended.acquire(timeout=timeout)
        if ended:
            self._ended.release()
        return ended


class GroupCommit[T]:
    """A queue of items, and a thread that passes them to `commit` in batches.

    `commit` writes all items of a batch, or raises an exception and writes nothing.
    """

    def __init__(
        self, commit: Callable[[list[T]], object], *, close: Callable[[], None], reserve: int = 1
    ) -> None:
        self._commit = commit
        self._close = close
        self._limiter = Limiter(
            "waits for a commit",
            limit=MAX_WAITING,
            reserve=reserve,
            full="Too many reports are waiting to be written.",
        )
        self._changed = threading.Condition()
        self._queue: deque[Batch[T]] = deque()
        self._thread: threading.Thread | None = None
        self._ended = False

    def submit(self, items: Sequence[T], *, timeout: float = WAIT_SECONDS) -> None:
        """Waits until the items are committed. Units: `timeout` in seconds.

        Raises: LimitReachedError if too many items are waiting. APIError 503 if the items could not
        be written before the timeout. In both cases, they are not written later. APIError 504 if
        the commit of the items has started, but has not ended before the timeout.
        """
        with self._limiter.hold(amount=len(items)) as place:
            waiting = self._enqueue(items)
            if not self._limiter.wait(place, waiting.batch, timeout):
                if self._withdrawn(waiting):
                    raise unavailable("The report could not be written in time.")
                if not waiting.batch.acquire(timeout=LAST_SECONDS):
                    raise commit_unknown()
            if waiting.error is not None:
                raise waiting.error

    def _enqueue(self, items: Sequence[T]) -> Waiting[T]:
        """Adds the items to the newest batch, or to a new one if the newest is full."""
        with self._changed:
            self._start()
            if not self._queue or self._queue[-1].size + len(items) > MAX_BATCH:
                self._queue.append(Batch())
                self._changed.notify()
            batch = self._queue[-1]
            waiting = Waiting(items, batch)
            batch.waiting.append(waiting)
            batch.size += len(items)
        return waiting

    def _withdrawn(self, waiting: Waiting[T]) -> bool:
        """Removes the items from their batch. Returns False if their commit has started."""
        with self._changed:
            if waiting.batch in self._queue:
                waiting.batch.waiting.remove(waiting)
                waiting.batch.size -= len(waiting.items)
                return True
        return False

    def stop(self) -> None:
        """Writes the waiting items, stops the thread, and closes its connection."""
        with self._changed:
            self._ended = True
            self._changed.notify()
            thread = self._thread
        if thread:
            thread.join()

    def _start(self) -> None:
        if self._thread is None or not self._thread.is_alive():
            self._ended = False
            self._thread = threading.Thread(target=self._run, name="csp-writer", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        try:
            while batch := self._take():
                self._write(batch.waiting)
                batch.end()
        finally:
            self._close()

    def _take(self) -> Batch[T] | None:
        """Waits for the next batch and returns it. Returns None if the thread must end."""
        with self._changed:
            self._changed.wait_for(lambda: self._queue or self._ended)
            return self._queue.popleft() if self._queue else None

    def _write(self, waiting: Sequence[Waiting[T]]) -> None:
        started = time.perf_counter()
        items = [item for each in waiting for item in each.items]
        if not items:
            return  # All requests of the batch have given up.
        try:
            self._commit(items)
        except Exception as error:  # noqa: BLE001 - every waiting request must get a response
            self._fail(waiting, error)
            return
        metrics.COMMIT_SECONDS.observe(time.perf_counter() - started)
        metrics.BATCH_SIZE.observe(len(items))

    def _fail(self, waiting: Sequence[Waiting[T]], error: Exception) -> None:
        """Passes the error to all requests of the batch.

        If the items of one request may have caused the error, writes the items of each request
        separately instead.
        """
        answer = to_api_error(error)
        if answer is None and len(waiting) > 1:
            for each in waiting:
                self._write([each])
            return
        if answer is None:
            log.error("a report could not be written", exc_info=error)
        for each in waiting:
            each.error = answer or error


_store = Store()
_writer: GroupCommit[Entry] = GroupCommit(
    _store.commit, close=_store.close, reserve=settings.MAX_DATABASE_WAITERS
)


def write(entries: Sequence[Entry]) -> None:
    """Waits until the entries are committed. Raises: the errors of `GroupCommit.submit`."""
    _writer.submit(entries)


def stop() -> None:
    """Writes the waiting entries and stops the thread. The next `write` starts a new thread."""
    _writer.stop()
