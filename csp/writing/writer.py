"""Runs the thread that writes the reports of all requests of this process, in batches.

A timer is not needed. While a commit is running, new reports wait, and the next commit writes them
all. So batches become larger when commits become slower.

A request in the event loop waits for a future. At the end of a batch, the thread resolves all of
its futures with one call into the loop. If a client goes, its reports stay in their batch, and are
written.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from asyncio import AbstractEventLoop
from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from concurrent import futures
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from csp import metrics
from csp.writing.entries import Entry
from csp.writing.store import Store
from kernel.http.errors import APIError, commit_unknown, unavailable
from kernel.http.handlers import to_api_error

MAX_BATCH = 2_000
# The maximum number of waiting reports, including those whose commit is running.
MAX_WAITING = 10_000
WAIT_SECONDS = 5.0
# The additional time to wait for a commit that has already started.
LAST_SECONDS = 0.5

log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class Waiting[T]:
    """The items of one request that wait to be committed, and the error if the commit failed.

    `future` belongs to the event loop, or to a thread if `loop` is None.
    """

    items: Sequence[T]
    batch: Batch[T]
    future: futures.Future[None] | asyncio.Future[None]
    loop: AbstractEventLoop | None = None
    error: Exception | None = None

    def resolve(self, error: Exception | None) -> None:
        """Ends the wait, unless it has ended. Called in the thread or loop of the future."""
        if self.future.done():
            return
        if error is None:
            self.future.set_result(None)
        else:
            self.future.set_exception(error)


@dataclass(slots=True, eq=False)
class Batch[T]:
    """The requests that are committed together."""

    waiting: list[Waiting[T]] = field(default_factory=list)
    size: int = 0

    def end(self) -> None:
        """Ends all waits: in each loop with one call."""
        by_loop: defaultdict[AbstractEventLoop | None, list[Waiting[T]]] = defaultdict(list)
        for each in self.waiting:
            by_loop[each.loop].append(each)
        for loop, some in by_loop.items():
            if loop is None:
                _resolve(some)
            else:
                with suppress(RuntimeError):  # The loop has ended.
                    loop.call_soon_threadsafe(_resolve, some)


def _resolve(waiting: Sequence[Waiting[Any]]) -> None:
    for each in waiting:
        each.resolve(each.error)


class GroupCommit[T]:
    """A queue of items, and a thread that passes them to `commit` in batches.

    `commit` writes all items of a batch, or raises an exception and writes nothing.
    """

    def __init__(self, commit: Callable[[list[T]], object], *, close: Callable[[], None]) -> None:
        self._commit = commit
        self._close = close
        self._changed = threading.Condition()
        self._queue: deque[Batch[T]] = deque()
        # The number of items in all batches, including the one that is being committed.
        self._size = 0
        self._thread: threading.Thread | None = None
        self._ended = False

    def submit(self, items: Sequence[T], *, timeout: float = WAIT_SECONDS) -> None:
        """Waits in this thread until the items are committed. Units: `timeout` in seconds.

        Raises: APIError 503 if too many items are waiting, or if the items could not be written
        before the timeout. Then they are not written later. APIError 504 if the commit of the items
        has started, but has not ended before the timeout.
        """
        future: futures.Future[None] = futures.Future()
        waiting = self._enqueue(items, future)
        try:
            future.result(timeout)
        except TimeoutError:
            if error := self._withdraw(waiting):
                raise error from None
            try:
                future.result(LAST_SECONDS)
            except TimeoutError:
                raise commit_unknown() from None

    async def submit_in_loop(self, items: Sequence[T], *, timeout: float = WAIT_SECONDS) -> None:
        """Waits in an event loop until the items are committed. Raises: the errors of `submit`."""
        loop = asyncio.get_running_loop()
        waiting = self._enqueue(items, loop.create_future(), loop)
        timer = loop.call_later(timeout, self._give_up, waiting)
        try:
            await waiting.future  # type: ignore[misc]  # It belongs to the loop.
        finally:
            timer.cancel()

    def _give_up(self, waiting: Waiting[T]) -> None:
        """Ends a wait in the event loop: now if the items could be withdrawn, or a bit later."""
        if error := self._withdraw(waiting):
            waiting.resolve(error)
        elif waiting.loop:
            waiting.loop.call_later(LAST_SECONDS, waiting.resolve, commit_unknown())

    def _enqueue(
        self,
        items: Sequence[T],
        future: futures.Future[None] | asyncio.Future[None],
        loop: AbstractEventLoop | None = None,
    ) -> Waiting[T]:
        """Adds the items to the newest batch, or to a new one if the newest is full."""
        with self._changed:
            if self._size + len(items) > MAX_WAITING:
                raise unavailable("Too many reports are waiting to be written.")
            self._start()
            if not self._queue or self._queue[-1].size + len(items) > MAX_BATCH:
                self._queue.append(Batch())
                self._changed.notify()
            batch = self._queue[-1]
            waiting = Waiting(items, batch, future, loop)
            batch.waiting.append(waiting)
            batch.size += len(items)
            self._size += len(items)
        return waiting

    def _withdraw(self, waiting: Waiting[T]) -> APIError | None:
        """Removes the items from their batch, so that they are never written.

        Returns the error for the client, or None if their commit has started.
        """
        with self._changed:
            if waiting.batch not in self._queue:
                return None
            waiting.batch.waiting.remove(waiting)
            waiting.batch.size -= len(waiting.items)
            self._size -= len(waiting.items)
        return unavailable("The report could not be written in time.")

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
                    self._write(batch.waiting)
                finally:
                    with self._changed:
                        self._size -= batch.size
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
_writer: GroupCommit[Entry] = GroupCommit(_store.commit, close=_store.close)


def write(entries: Sequence[Entry]) -> None:
    """Waits until the entries are committed. Raises: the errors of `GroupCommit.submit`."""
    _writer.submit(entries)


async def write_in_loop(entries: Sequence[Entry]) -> None:
    """Waits until the entries are committed. Raises: the errors of `GroupCommit.submit`."""
    await _writer.submit_in_loop(entries)


def stop() -> None:
    """Writes the waiting entries and stops the thread. The next `write` starts a new thread."""
    _writer.stop()
