"""A pool of threads whose callers take turns.

With one queue for all, a client that sends many requests at the same time would delay the requests
of all other clients.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

type Job = tuple[Future[Any], Callable[[], Any]]


class Pool:
    """Runs functions in `size` threads. Python does not wait for these threads at its end."""

    def __init__(self, size: int, *, name: str) -> None:
        self._changed = threading.Condition()
        # The waiting jobs of each caller. The first caller is the next one.
        self._queues: dict[str, deque[Job]] = {}
        self._is_stopped = False
        for number in range(size):
            threading.Thread(target=self._work, name=f"{name}_{number}", daemon=True).start()

    def submit[T](self, caller: str, function: Callable[[], T]) -> Future[T]:
        """Runs the function in a thread when it is the turn of the caller.

        Raises: RuntimeError if the pool has been stopped.
        """
        future: Future[T] = Future()
        with self._changed:
            if self._is_stopped:
                raise RuntimeError("The pool has been stopped")
            self._queues.setdefault(caller, deque()).append((future, function))
            self._changed.notify()
        return future

    def stop(self) -> None:
        """Ends each thread when no job waits."""
        with self._changed:
            self._is_stopped = True
            self._changed.notify_all()

    def _work(self) -> None:
        while (job := self._next()) is not None:
            future, function = job
            if not future.set_running_or_notify_cancel():
                continue
            try:
                future.set_result(function())
            except BaseException as error:  # noqa: BLE001 - the future raises it
                future.set_exception(error)
            # Otherwise the thread would keep the response in memory until its next job.
            del job, future, function

    def _next(self) -> Job | None:
        with self._changed:
            while not self._queues:
                if self._is_stopped:
                    return None
                self._changed.wait()
            caller = next(iter(self._queues))
            queue = self._queues.pop(caller)
            job = queue.popleft()
            if queue:
                self._queues[caller] = queue
            return job
