"""Identifies the callers of requests, as the event loop of a server does."""

from __future__ import annotations

import asyncio

from kernel.http.call import Call
from kernel.http.results import Caller
from tests.support.api.asking import ask
from tokens.verification.caller import identify


def begun(*tokens: tuple[str, str]) -> list[Caller]:
    """Returns the callers with these tokens and addresses. All requests begin together."""

    async def caller(token: str, address: str) -> Caller:
        headers = {"coder-session-token": token}
        call = Call("GET", "/api/v2/deployment/ssh", "", headers, address, "http")
        found = identify(call, address)
        return found if isinstance(found, Caller) else await ask(found)

    async def all_of_them() -> list[Caller]:
        return await asyncio.gather(*(caller(*each) for each in tokens))

    return asyncio.run(all_of_them())
