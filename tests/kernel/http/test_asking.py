"""The two drivers of a coroutine: a thread, and an event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import Any

import pytest

from kernel.http.asking import Asking, Inbox, Running, run
from kernel.http.results import Ask
from tests.support.api.asking import ask_in_loop

DRIVERS: tuple[Callable[[Asking[Any]], Any], ...] = (run, ask_in_loop)


def settled(value: int) -> Future[int]:
    future = Future[int]()
    future.set_result(value)
    return future


@pytest.mark.parametrize("drive", DRIVERS)
def test_coroutine_awaits_nothing_but_asks(drive: Callable[[Asking[Any]], Any]) -> None:
    async def first_asks() -> int:
        found = await Ask(begin=partial(settled, 1))
        await asyncio.sleep(0)
        return found

    with pytest.raises(TypeError, match="can await only an Ask, but awaits None"):
        drive(first_asks())


def test_value_that_arrives_after_its_time_is_dropped() -> None:
    """Its coroutine waits for the next value then."""
    late, next_one = Future[str](), Future[str]()

    async def impatient() -> str:
        try:
            return await Ask(begin=lambda: late, seconds=0.0)
        except TimeoutError:
            late.set_result("late")
            return await Ask(begin=lambda: next_one)

    async def driven() -> list[str]:
        loop, found = asyncio.get_running_loop(), list[str]()
        coroutine = impatient()
        running = Running(coroutine, Inbox(loop), lambda _: late, found.append, found.clear)
        running.wait(coroutine.send(None))
        loop.call_later(0.02, next_one.set_result, "next")
        while not found:
            await asyncio.sleep(0.01)
        return found

    assert asyncio.run(driven()) == ["next"]
