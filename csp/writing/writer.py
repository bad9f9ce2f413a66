"""Runs the thread that writes the reports of all requests of this process, in batches.

A timer is not needed. While a commit is running, new reports wait, and the next commit writes them
all. So batches become larger when commits become slower.

A request waits for a signal. At the end of a batch, the thread sets all of its signals. If a
client goes, its reports stay in their batch, and are written.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from csp import metrics
from csp.writing.entries import Entry
from csp.writing.store import Store
from kernel.futures import Signal
from kernel.http.errors import commit_unknown, unavailable
from kernel.http.results import Ask
from kernel.http.views.handlers import to_api_error

MAX_BATCH = 2_000
# The maximum number of waiting reports, including those whose commit is running.
MAX_WAITING = 10_000
WAIT_SECONDS = 5.0
# The additional time to wait for a commit that has already started.
LAST_SECONDS = 0.5

log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class Waiting[T]:
    """The items of one request that wait to be committed, and the error if the commit failed."""

    items: Sequence[T]
    ended: Signal = field(default_factory=Signal)
    error: Exception | None = None


class GroupCommit[T]:
    """A queue of items, and a thread that passes them to `commit` in batches.

    `commit` writes all items of a batch, or raises an exception and writes nothing.
    """

    def __init__(
        self,
        commit: Callable[[list[T]], object],
        *,
        close: Callable[[], None],
        max_waiting: int = MAX_WAITING,
    ) -> None:
        self._commit = commit
        self._max_waiting = max_waiting
        self._close = close
        self._changed = threading.Condition()
        self._queue: deque[Waiting[T]] = deque()
        # The number of waiting items, including those that are being committed.
        self._size = 0
        self._thread: threading.Thread | None = None
        self._ended = False

    async def submit(self, items: Sequence[T], *, timeout: float = WAIT_SECONDS) -> None:
        """Waits until the items are committed. Units: `timeout` in seconds.

        Raises: APIError 503 if too many items are waiting, or if the items could not be written
        before the timeout. Then they are not written later. APIError 504 if the commit of the items
        has started, but has not ended before the timeout.
        """
        waiting = Waiting(items)
        with self._changed:
            if self._size + len(items) > self._max_waiting:
                raise unavailable("Too many reports are waiting to be written.")
            self._start()
            self._size += len(items)
            self._queue.append(waiting)
            self._changed.notify()
        committed = Ask(begin=lambda: waiting.ended, seconds=timeout)
        try:
            await committed
        except TimeoutError:
            with self._changed:
                if waiting in self._queue:
                    self._queue.remove(waiting)
                    self._size -= len(items)
                    raise unavailable("The report could not be written in time.") from None
            committed.seconds = LAST_SECONDS
            try:
                await committed
            except TimeoutError:
                raise commit_unknown() from None

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
                try:
                    self._write(batch)
                finally:
                    with self._changed:
                        self._size -= sum(len(each.items) for each in batch)
                    for each in batch:
                        each.ended.set(each.error)
        finally:
            self._close()

    def _take(self) -> list[Waiting[T]]:
        """Waits for the next batch and returns it. It is empty if the thread must end."""
        batch: list[Waiting[T]] = []
        with self._changed:
            self._changed.wait_for(lambda: self._queue or self._ended)
            room = MAX_BATCH
            while self._queue and (not batch or len(self._queue[0].items) <= room):
                batch.append(self._queue.popleft())
                room -= len(batch[-1].items)
        return batch

    def _write(self, waiting: Sequence[Waiting[T]]) -> None:
        started = time.perf_counter()
        items = [item for each in waiting for item in each.items]
        try:
            self._commit(items)
        except Exception as error:  # noqa: BLE001 - every waiting request must get a response
            self._fail(waiting, error)
            return
        metrics.COMMIT_DURATION.observe(time.perf_counter() - started)
        metrics.BATCH_REPORTS.observe(len(items))

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
_writer: GroupCommit[Entry] = GroupCommit(_store.commit, close=_store.close)
# After `stop`, the next `write` starts a new thread.
write, stop = _writer.submit, _writer.stop
