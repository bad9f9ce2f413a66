"""Runs the thread that writes the reports of all requests of this process, in batches.

There is no timer. While a commit is running, new reports wait, and the next commit writes them all.
So batches are larger when commits are slower.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence

from django.conf import settings

from csp import metrics
from csp.writing.entries import Entry
from csp.writing.store import Store
from kernel.db.connections import release_connection
from kernel.http.errors import APIError, commit_unknown, unavailable
from kernel.http.handlers import to_api_error
from kernel.limiter import Limiter, Place

MAX_BATCH = 2_000
MAX_WAITING = 10_000
WAIT_SECONDS = 5.0
# The additional time to wait for a commit that has already started.
LAST_SECONDS = 0.5

log = logging.getLogger(__name__)


class Waiting[T]:
    """The items of one request that wait to be committed, and the error if the commit failed."""

    __slots__ = ("done", "error", "items")

    def __init__(self, items: Sequence[T]) -> None:
        self.items = items
        self.error: APIError | Exception | None = None
        self.done = threading.Lock()
        self.done.acquire()

    def finish(self, error: Exception | None = None) -> None:
        self.error = error
        self.done.release()


class GroupCommit[T]:
    """A queue of items, and a thread that passes them to `commit` in batches.

    `commit` either writes all items of a batch, or raises an exception and writes none of them.
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
        self._queue: deque[Waiting[T]] = deque()
        self._thread: threading.Thread | None = None
        self._ended = False

    def submit(self, items: Sequence[T], *, timeout: float = WAIT_SECONDS) -> None:
        """Waits until the items are committed. Units: `timeout` in seconds.

        Raises: LimitReachedError if too many items are waiting. APIError 503 if the items could not
        be written before the timeout. In both cases, they are not written later. APIError 504 if
        the commit of the items has started, but has not ended before the timeout.
        """
        waiting = Waiting(items)
        with self._limiter.hold(amount=len(items)) as place:
            self._hand_over(waiting)
            self._wait_for(waiting, place, timeout)
            if waiting.error is not None:
                raise waiting.error

    def _hand_over(self, waiting: Waiting[T]) -> None:
        with self._changed:
            self._start()
            self._queue.append(waiting)
            self._changed.notify()

    def _wait_for(self, waiting: Waiting[T], place: Place, timeout: float) -> None:
        if not self._limiter.wait(place, waiting.done, timeout):
            if self._withdrawn(waiting):
                raise unavailable("The report could not be written in time.")
            if not waiting.done.acquire(timeout=LAST_SECONDS):
                raise commit_unknown()

    def _withdrawn(self, waiting: Waiting[T]) -> bool:
        """Removes the items from the queue. Returns False if their commit has started."""
        with self._changed:
            if waiting in self._queue:
                self._queue.remove(waiting)
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
                self._write(batch)
        finally:
            self._close()

    def _take(self) -> list[Waiting[T]]:
        """Waits for the next batch and returns it. Returns an empty list if the thread must end."""
        batch: list[Waiting[T]] = []
        with self._changed:
            self._changed.wait_for(lambda: self._queue or self._ended)
            size = 0
            while self._queue and (not batch or size + len(self._queue[0].items) <= MAX_BATCH):
                batch.append(self._queue.popleft())
                size += len(batch[-1].items)
        return batch

    def _write(self, batch: list[Waiting[T]]) -> None:
        started = time.perf_counter()
        items = [item for waiting in batch for item in waiting.items]
        try:
            self._commit(items)
        except Exception as error:  # noqa: BLE001 - every waiting request must get a response
            self._fail(batch, error)
            return
        metrics.COMMIT_SECONDS.observe(time.perf_counter() - started)
        metrics.BATCH_SIZE.observe(len(items))
        for waiting in batch:
            waiting.finish()

    def _fail(self, batch: list[Waiting[T]], error: Exception) -> None:
        """Passes the error to all waiting requests of the batch.

        If the items of one request may have caused the error, writes the items of each request
        separately instead.
        """
        answer = to_api_error(error)
        if answer is None and len(batch) > 1:
            for waiting in batch:
                self._write([waiting])
            return
        if answer is None:
            log.error("a report could not be written", exc_info=error)
        for waiting in batch:
            waiting.finish(answer or error)


_store = Store()
_writer: GroupCommit[Entry] = GroupCommit(
    _store.commit, close=_store.close, reserve=settings.MAX_DATABASE_WAITERS
)


def write(entries: Sequence[Entry]) -> None:
    """Waits until the entries are committed. Raises: the errors of `GroupCommit.submit`."""
    # Release the connection of this request before waiting. Otherwise, waiting requests could hold
    # all connections, and the writer needs a connection to create a new partition.
    release_connection()
    _writer.submit(entries)


def stop() -> None:
    """Writes the waiting entries and stops the thread. The next `write` starts a new thread."""
    _writer.stop()
