"""Futures that a thread of this process resolves, and a pool of threads whose callers take turns.

With one queue for all, a client that sends many requests at the same time would delay the requests
of all other clients.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Protocol


def settle[T](result: Future[T], find: Callable[[], T]) -> None:
    """Sets the result, or the error of `find`, unless the future was canceled."""
    if result.set_running_or_notify_cancel():
        try:
            result.set_result(find())
        except BaseException as error:  # noqa: BLE001 - the request that waits must get a response
            result.set_exception(error)


class Later[T](Protocol):
    """A Future or a Signal: the methods that a request needs to wait for a value."""

    def add_done_callback(self, callback: Callable[[Any], object], /) -> None: ...

    def result(self, timeout: float | None = None) -> T: ...

    def cancel(self) -> bool: ...


class Signal:
    """Signals the end of some work to the request that waits for it.

    It has the methods of a Future that a request needs. A Future takes 6 µs longer, because it
    has a lock of its own.
    """

    __slots__ = ("_callback", "_ended", "_error", "_is_set")

    def __init__(self) -> None:
        self._is_set = False
        self._error: Exception | None = None
        self._callback: Callable[[Any], object] | None = None
        self._ended: threading.Event | None = None

    def set(self, error: Exception | None = None) -> None:
        self._error = error
        self._is_set = True
        if callback := self._callback:
            callback(self)
        if ended := self._ended:
            ended.set()

    def add_done_callback(self, callback: Callable[[Any], object]) -> None:
        """Calls the function at the end, in any thread. It may be called twice."""
        self._callback = callback
        if self._is_set:
            callback(self)

    def result(self, timeout: float | None = None) -> None:
        """Waits for the end. Raises: the error; TimeoutError."""
        self._ended = ended = None if self._is_set else threading.Event()
        if ended and not self._is_set and not ended.wait(timeout):
            raise TimeoutError
        if self._error:
            raise self._error

    def cancel(self) -> bool:
        """Returns False: the work goes on."""
        return False


class Job[T](Future[T]):
    """The result of a function that waits for a thread.

    If the job is canceled, it drops the function, which may hold the body of a request.
    """

    def __init__(self, function: Callable[[], T]) -> None:
        super().__init__()
        self._function: Callable[[], T] | None = function

    def cancel(self) -> bool:
        is_canceled = super().cancel()
        if is_canceled:
            self._function = None
        return is_canceled

    def run(self) -> None:
        function, self._function = self._function, None
        if function is not None:
            settle(self, function)


class Pool:
    """Runs functions in `size` threads. Python does not wait for these threads at its end."""

    def __init__(self, size: int, *, name: str) -> None:
        self._changed = threading.Condition()
        # The waiting jobs of each caller. The first caller is the next one.
        self._queues: dict[str, deque[Job[Any]]] = {}
        self._is_stopped = False
        for number in range(size):
            threading.Thread(target=self._work, name=f"{name}_{number}", daemon=True).start()

    def submit[T](self, caller: str, function: Callable[[], T]) -> Future[T]:
        """Runs the function in a thread when it is the turn of the caller.

        Raises: RuntimeError if the pool has been stopped.
        """
        job = Job(function)
        with self._changed:
            if self._is_stopped:
                raise RuntimeError("The pool has been stopped")
            self._queues.setdefault(caller, deque()).append(job)
            self._changed.notify()
        return job

    def stop(self) -> None:
        """Ends each thread when no job waits."""
        with self._changed:
            self._is_stopped = True
            self._changed.notify_all()

    def _work(self) -> None:
        while (job := self._next()) is not None:
            job.run()
            # Otherwise the thread would keep the response in memory until its next job.
            del job

    def _next(self) -> Job[Any] | None:
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
