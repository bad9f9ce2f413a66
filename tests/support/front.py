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
    asyncio.run(front(_scope(path, query, {"host": "testserver", **headers}), receive, send))
    threads.stop()
    return by[-1]


def _scope(path: str, query: str, headers: dict[str, str]) -> dict[str, Any]:
    return {
        "method": "GET",
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "headers": [
            (name.replace("_", "-").lower().encode(), value.encode())
            for name, value in headers.items()
        ],
        "client": ("127.0.0.1", 1),
        "server": ("testserver", 80),
        "scheme": "http",
        "http_version": "1.1",
    }
