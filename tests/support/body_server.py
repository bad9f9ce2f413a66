"""A real HTTP server with a small application behind `kernel.http.body`.

`python -m tests.support.body_server PORT` starts it. It ends when its standard input ends.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import threading
from collections.abc import Iterable
from typing import TYPE_CHECKING

from coderapi.server.children import end_soon
from coderapi.server.http import build, restart_workers
from kernel.http import body

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

CAP = 1000
THREADS = 80
MAX_READERS = THREADS // 4
STUCK_SECONDS = 2.0


def echo(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Answers with the number of the process, the announced length of the body, and the body."""
    received = environ["wsgi.input"].read() if "CONTENT_LENGTH" in environ else b""
    answer = f"{os.getpid()} {environ.get('CONTENT_LENGTH')} ".encode() + received
    start_response("200 OK", [("Content-Length", str(len(answer)))])
    return [answer]


def load() -> WSGIApplication:
    body.STUCK_SECONDS = STUCK_SECONDS
    body.when_stuck = restart_workers
    return body.bounded(
        echo,
        readers=body.readers(MAX_READERS),
        caps={"/": CAP},
        address_of=lambda environ: environ.get("HTTP_X_CLIENT", ""),
        headers=lambda: {"X-Served-By": "v1"},
    )


def main(port: int) -> None:
    multiprocessing.set_start_method("spawn")
    threading.Thread(target=_end_with_input, daemon=True).start()
    orders = {"host": "127.0.0.1", "port": port, "workers": 1, "threads": THREADS}
    server = build({**orders, "logging": None, "tls": None}, drain_seconds=1)
    server.serve(target_loader=load, wrap_loader=False)


def _end_with_input() -> None:
    while os.read(0, 1):
        pass
    end_soon()


if __name__ == "__main__":
    main(int(sys.argv[1]))
