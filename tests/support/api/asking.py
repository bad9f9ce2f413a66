"""Runs coroutines of Asks in an event loop of a test, also those that identify callers."""

from __future__ import annotations

import asyncio
from typing import Any

from kernel.http.asking import Asking, Inbox, Running, Submit
from kernel.http.identity import PresentedToken
from kernel.http.results import Caller
from tokens.verification.caller import identify


def no_threads(query: Any) -> Any:
    """The `submit` of a coroutine that asks only for futures."""
    raise NotImplementedError


async def _caught(asking: Asking[Any]) -> tuple[Any, Exception | None]:
    try:
        return await asking, None
    except Exception as error:  # noqa: BLE001 - raised again
        return None, error


async def ask[T](asking: Asking[T], submit: Submit = no_threads) -> T:
    """Returns the result of the coroutine. Cancels the coroutine if this task is canceled."""
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[tuple[T, Exception | None]] = loop.create_future()
    caught = _caught(asking)
    running = Running(caught, Inbox(loop), submit, ended.set_result, lambda: None)
    try:
        running.wait(caught.send(None))
    except StopIteration as end:
        ended.set_result(end.value)
    try:
        result, error = await ended
    except asyncio.CancelledError:
        running.cancel()
        raise
    if error:
        raise error
    return result


def ask_in_loop[T](asking: Asking[T], submit: Submit = no_threads) -> T:
    return asyncio.run(ask(asking, submit))


def begun(*tokens: tuple[str, str]) -> list[Caller]:
    """Returns the callers with these tokens and addresses. All requests begin together."""

    async def caller(token: str, address: str) -> Caller:
        found = identify(PresentedToken(token, is_cookie=False), address)
        return found if isinstance(found, Caller) else await ask(found)

    async def all_of_them() -> list[Caller]:
        return await asyncio.gather(*(caller(*each) for each in tokens))

    return asyncio.run(all_of_them())
