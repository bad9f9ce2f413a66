"""Sends requests to the front without a server."""

from __future__ import annotations

import asyncio
from typing import Any

from coderapi.front import Front, routes
from kernel.http.threads import Threads


def answered_by(path: str, query: str = "", **headers: str) -> str:
    """Returns which of the two answers a GET request: the front or Django.

    Underscores in names of headers become hyphens.
    """
    by = ["front"]

    def django(_environ: Any, start_response: Any) -> list[bytes]:
        by.append("django")
        start_response("200 OK", [])
        return [b""]

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b""}

    async def send(_event: Any) -> None:
        pass

    threads = Threads(django, 1)
    front = Front(threads, routes("coderapi.urls"))
    asyncio.run(front(scope_of(path, query=query, **headers), receive, send))
    threads.stop()
    return by[-1]


def ran_by(path: str, *, method: str) -> str:
    """Returns which threads of a front run Django for a request: "sign-ins" or "others"."""
    names: list[str] = []

    def running(name: str) -> Threads:
        def django(_environ: Any, start_response: Any) -> list[bytes]:
            names.append(name)
            start_response("200 OK", [])
            return [b""]

        return Threads(django, 1)

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b""}

    async def send(_event: Any) -> None:
        pass

    others, sign_ins = running("others"), running("sign-ins")
    front = Front(others, {}, sign_ins=sign_ins)
    asyncio.run(front(scope_of(path, method=method), receive, send))
    others.stop()
    sign_ins.stop()
    return names[-1]


def scope_of(
    path: str, *, method: str = "GET", query: str = "", token: str = "", **headers: str
) -> dict[str, Any]:
    """Returns the ASGI scope of a request. Underscores in names of headers become hyphens."""
    sent = {"host": "testserver", **({"coder_session_token": token} if token else {}), **headers}
    return {
        "method": method,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "headers": [
            (name.replace("_", "-").lower().encode(), value.encode())
            for name, value in sent.items()
        ],
        "client": ("127.0.0.1", 1),
        "server": ("testserver", 80),
        "scheme": "http",
        "http_version": "1.1",
    }
