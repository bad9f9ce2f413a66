"""Runs coroutines that ask for values that are not in memory, in a thread or in an event loop.

    async def name() -> str:
        user = await Ask(query)
        return user.name

`run` blocks its thread until each value is there. In an event loop, a `Running` goes on with the
coroutine when a value arrives. Neither needs a task, so a coroutine can await an Ask and other
coroutines of this kind, but nothing of `asyncio`.
"""

from __future__ import annotations

import logging
from asyncio import AbstractEventLoop, TimerHandle
from collections import deque
from collections.abc import Callable, Coroutine, Hashable
from concurrent.futures import Future
from functools import partial
from typing import TYPE_CHECKING, Any

from kernel.futures import Later
from kernel.http.results import Ask
from kernel.telemetry.logs import begin_request

if TYPE_CHECKING:
    from kernel.memory import Memory

type Asking[T] = Coroutine[Ask[Any], Any, T]
# Runs the query of an Ask in a thread.
type Submit = Callable[[Any], Future[Any]]

log = logging.getLogger(__name__)


def run[T](asking: Asking[T]) -> T:
    """Runs the coroutine in this thread, and returns its result."""
    resume: Callable[[], Ask[Any]] = partial(asking.send, None)
    while True:
        try:
            ask = resume()
        except StopIteration as end:
            result: T = end.value
            return result
        try:
            found = asked(ask).value()
        except Exception as error:  # noqa: BLE001 - the coroutine gets it
            resume = partial(asking.throw, error)
        else:
            resume = partial(asking.send, found)


def asked(ask: Ask[Any]) -> Ask[Any]:
    """Returns the Ask. Raises: TypeError if a coroutine has awaited something else."""
    if type(ask) is not Ask:
        raise TypeError(f"The coroutine of a request can await only an Ask, but awaits {ask!r}.")
    return ask


async def from_cache[K: Hashable, V](memory: Memory[K, V], key: K, load: Callable[[], V]) -> V:
    """Returns the cached value. If there is none, asks for that of `load`."""
    found = memory.get(key)
    return await Ask(load) if found is None else found


class Inbox:
    """Calls functions in an event loop. Threads put them here.

    Functions that arrive while the loop is busy need one call into the loop together.
    """

    def __init__(self, loop: AbstractEventLoop) -> None:
        self.loop = loop
        self._waiting: deque[Callable[[], None]] = deque()
        self._is_called = False

    def put(self, function: Callable[[], None]) -> None:
        self._waiting.append(function)
        if not self._is_called:
            self._is_called = True
            try:
                self.loop.call_soon_threadsafe(self._empty)
            except RuntimeError:  # The loop has ended.
                self._waiting.clear()

    def _empty(self) -> None:
        # A function that is put from now on makes the next call.
        self._is_called = False
        for _ in range(len(self._waiting)):
            self._waiting.popleft()()
        if self._waiting and not self._is_called:
            self._is_called = True
            self.loop.call_soon(self._empty)


class Running[T]:
    """A coroutine that runs in an event loop, from its first Ask on. `end` gets its result.

    After an unexpected error of the coroutine or of `end`, `broken` is called.
    """

    __slots__ = (
        "_asking",
        "_broken",
        "_end",
        "_future",
        "_inbox",
        "_request_id",
        "_submit",
        "_timer",
    )

    def __init__(
        self,
        asking: Asking[T],
        inbox: Inbox,
        submit: Submit,
        end: Callable[[T], None],
        broken: Callable[[], None],
        request_id: str = "",
    ) -> None:
        self._asking, self._inbox, self._submit = asking, inbox, submit
        self._end, self._broken, self._request_id = end, broken, request_id
        self._future: Later[Any] | None = None
        self._timer: TimerHandle | None = None

    def wait(self, ask: Ask[Any]) -> None:
        """Goes on with the coroutine when the value is there."""
        try:
            begin = asked(ask).begin
            future: Later[Any] = begin() if begin else self._submit(ask.query)
        except Exception as error:  # noqa: BLE001 - the coroutine gets it
            self._go_on(self._asking.throw, error)
            return
        self._future = future
        if ask.seconds is not None:
            self._timer = self._inbox.loop.call_later(ask.seconds, self._time_out)
        future.add_done_callback(self._arrived)

    def _arrived(self, future: Later[Any]) -> None:
        # Any thread may call this.
        self._inbox.put(partial(self._take, future))

    def _take(self, future: Later[Any]) -> None:
        if future is not self._future:
            return  # The coroutine has gone on without this value, or was canceled.
        self._stop_waiting()
        try:
            value = future.result()
        except Exception as error:  # noqa: BLE001 - the coroutine gets it
            self._go_on(self._asking.throw, error)
        else:
            self._go_on(self._asking.send, value)

    def _time_out(self) -> None:
        self._stop_waiting()
        self._go_on(self._asking.throw, TimeoutError())

    def _stop_waiting(self) -> None:
        self._future = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _go_on(self, resume: Callable[[Any], Ask[Any]], value: Any) -> None:
        begin_request(self._request_id)
        try:
            try:
                ask = resume(value)
            except StopIteration as stop:
                self._end(stop.value)
            else:
                self.wait(ask)
        except Exception:
            log.exception("A request failed")
            self._broken()

    def cancel(self) -> None:
        """Ends the coroutine where it waits. The value that it waits for is dropped."""
        self._drop_value()
        self._asking.close()

    def fail(self, error: Exception) -> None:
        """Makes the coroutine go on with an error instead of the value that it waits for."""
        self._drop_value()
        self._go_on(self._asking.throw, error)

    def _drop_value(self) -> None:
        future = self._future
        self._stop_waiting()
        if future is not None:
            future.cancel()
