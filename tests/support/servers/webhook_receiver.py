"""A server that receives alerts."""

from __future__ import annotations

from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import orjson


class Receiver(ThreadingHTTPServer):
    """A server that records the requests, calls `before_answer`, and answers with `status`."""

    status = 200

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.before_answer: Callable[[], object] = lambda: None
        self.requests: list[tuple[dict[str, str], bytes]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/hook?token=planted"

    @property
    def bodies(self) -> list[Any]:
        return [orjson.loads(body) for _, body in self.requests]

    @property
    def types(self) -> list[str]:
        return [body["type"] for body in self.bodies]

    @property
    def titles(self) -> list[str]:
        """Returns the subjects without the name of the service."""
        return [body["data"]["subject"].removeprefix("[coderapi] ") for body in self.bodies]


class Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.before_answer()
        self.server.requests.append((dict(self.headers), body))
        self.send_response(self.server.status)
        self.send_header("Location", "http://192.0.2.1/")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Keeps the test output clean."""
