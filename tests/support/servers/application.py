"""An application for tests of the server's connections, and the heads that they send."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from kernel.http.errors import APIError
from kernel.http.exchange import Request
from kernel.http.responses import Answer
from kernel.http.results import Ask

HEAD = b"GET / HTTP/1.1\r\nHost: x\r\n"
LAST = HEAD + b"Connection: close\r\n\r\n"
LARGE = bytes(32 << 20)


class Application:
    """Its response depends on the path. `seen` has what it has noticed."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.names: set[str] = set()
        self.bodies: list[bytes] = []

    def submit(self, request: Request, query: Any) -> Future[Any]:
        raise NotImplementedError

    async def exchange(self, request: Request) -> Answer:
        self.names |= {*request.call.headers}
        if request.refusal:
            return request.refusal.answer()
        body = b"ok"
        if request.body:
            try:
                body = await request.body.read(1 << 20)
            except Exception as error:  # noqa: BLE001 - noted
                self.seen.append(str(error))
            self.bodies.append(body)
        path = request.call.path.split("/")[1]
        if path == "wait":
            return await self._wait()
        if path == "late":
            await Ask(begin=done)
        if path == "stream":
            return Answer(200, b"", pieces=Pieces(request.call.path))
        if path == "broken":
            return Answer.whole(200, {"A": "b\nc: d"})
        return Answer.whole(200, {}, ANSWERS[path](request) if path in ANSWERS else body)

    async def _wait(self) -> Answer:
        self.seen.append("waits")
        try:
            await Ask(begin=Future)
        except GeneratorExit:
            self.seen.append("canceled")
            raise
        except APIError as error:
            return error.answer()
        raise AssertionError


ANSWERS: dict[str, Callable[[Request], bytes]] = {
    "large": lambda _: LARGE,
    "version": lambda request: request.version.encode(),
    "host": lambda request: f"{host_of(request)}?{request.call.query}".encode(),
}


def host_of(request: Request) -> str:
    return request.call.headers.get("host") or request.call.server


def done() -> Future[None]:
    future: Future[None] = Future()
    threading.Timer(0.01, future.set_result, [None]).start()
    return future


class Pieces:
    """Two pieces. They break off after the first one for `/stream/fail`, and wait for `/half`."""

    closed: list[bool] = []

    def __init__(self, path: str) -> None:
        self._path, self._left = path, [b"one", b"two", None]

    def next(self) -> Future[bytes | None]:
        future: Future[bytes | None] = Future()
        piece = self._left.pop(0)
        if piece != b"two" or self._path == "/stream":
            future.set_result(piece)
        elif self._path == "/stream/fail":
            future.set_exception(ValueError())
        return future

    def close(self, size: int, *, is_whole: bool) -> None:
        self.closed.append(is_whole)
