"""Tokens of a Coder deployment beside our own, with a stand-in for Coder."""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from bench import requests
from bench.harness import Measure, Scenario
from bench.load import CONNECTIONS, Figures, wrk
from bench.rows import SECRET
from bench.scenarios.base import SSH, Batches, Bench, load
from bench.service import WORKERS, beside

USER = {
    "id": "00000000-0000-4000-8000-0000000c0de5",
    "username": "coder-user",
    "email": "coder-user@example.com",
    "status": "active",
    "roles": [{"name": "owner"}],
}
# The requests at the start of a load all need the same look-up.
LOOK_UP_SECONDS = 1


class _Coder(ThreadingHTTPServer):
    """Accepts every token, and counts the look-ups."""

    look_ups = 0


class _Handler(BaseHTTPRequestHandler):
    server: _Coder

    def do_POST(self) -> None:
        checks = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["checks"]
        self.server.look_ups += 1
        self._answer(dict.fromkeys(checks, True))

    def do_GET(self) -> None:
        self._answer(USER)

    def _answer(self, value: Any) -> None:
        body = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Keeps the output of the bench clean."""


@contextmanager
def _coder() -> Iterator[_Coder]:
    with _Coder(("127.0.0.1", 0), _Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def _new_token() -> str:
    return f"{uuid.uuid4().hex[:10]}-{SECRET}"


def coder(bench: Bench) -> Batches:
    """Measures a cached token of Coder beside an own one, and the look-ups of a new token."""
    with (
        _coder() as server,
        beside(
            bench.service,
            CODERAPI_IDENTITY="coder",
            CODERAPI_CODER_URL=f"http://127.0.0.1:{server.server_port}",
        ) as other,
    ):

        def look_ups(_: int) -> Figures:
            before, script = server.look_ups, requests.with_token(_new_token())
            found = wrk(
                other.url + SSH, script=script, seconds=LOOK_UP_SECONDS, connections=CONNECTIONS
            )
            return {"look_ups": server.look_ups - before, "errors": found["errors"]}

        own = requests.with_token(bench.service.token)
        yield [
            Scenario(
                "ssh, cached token of Coder",
                load("token of Coder", other.url + SSH, requests.with_token(_new_token())),
                load("own token", bench.service.url + SSH, own),
                at_least=0.95,
            ),
            Scenario(
                f"look-ups in Coder, {CONNECTIONS} connections with a new token",
                Measure("new token", look_ups, needs_warm_up=False),
                at_most=WORKERS,
                figure="look_ups",
            ),
        ]
