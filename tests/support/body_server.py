"""A real HTTP server with a small application behind `kernel.http.body`.

`python -m tests.support.body_server PORT` starts it. It ends when its standard input ends.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING

from coderapi.server.children import Role
from coderapi.server.http import Worker, ask_for_replacement
from coderapi.server.supervisor import Supervisor
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
    body.when_stuck = ask_for_replacement
    return body.bounded(
        echo,
        readers=body.readers(MAX_READERS),
        caps={"/": CAP},
        address_of=lambda environ: environ.get("HTTP_X_CLIENT", ""),
        headers=lambda: {"X-Served-By": "v1"},
    )


def main(port: int) -> None:
    threading.Thread(target=_end_with_input, daemon=True).start()
    worker = Worker(host="127.0.0.1", port=port, threads=THREADS)
    web = Role("web", partial(worker.run, load), drain_seconds=1.0)
    sys.exit(Supervisor([web], replaceable=[web]).run())


def _end_with_input() -> None:
    while os.read(0, 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    main(int(sys.argv[1]))
