"""The child that serves HTTP: granian's main process, and what each of its workers loads.

It never loads Django itself. Its workers are spawned, so they start with nothing of its memory.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import threading
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from granian.constants import HTTPModes, Interfaces, SSLProtocols
from granian.http import HTTP1Settings
from granian.log import LogLevels
from granian.server.mp import MPServer

from coderapi import bootstrap
from coderapi.server.children import Orders, end_soon, take_over

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

# Every open connection counts against this limit of a worker, idle ones too, so it is far above the
# number of threads; threads limit how many requests run at once.
CONNECTIONS = 4096
BACKLOG = 1024
# Also the time that an idle connection is kept.
HEAD_MILLISECONDS = 15_000
# Under the supervisor's own patience, over the time that a body may take.
DRAIN_SECONDS = 20
# A client that keeps its connection hears with an answer that it is the last one there.
CLOSING_SECONDS = 1.0

MIN_VERSIONS = {"tls12": SSLProtocols.tls12, "tls13": SSLProtocols.tls13}

# The WSGI server copies the environment into every request, where these would pass for headers.
REQUEST_LOOKALIKES = ("HTTP_", "CONTENT_", "REMOTE_", "HTTPS")


def main() -> None:
    orders = take_over()
    multiprocessing.set_start_method("spawn")
    server = build(orders)
    logging.getLogger("_granian").addFilter(_is_news)
    loader = partial(load, orders["flags"], closing=server.closing)
    server.serve(target_loader=loader, wrap_loader=False)


class Server(MPServer):
    """Closes connections with their next answer before it ends, so that none is cut off."""

    def __init__(self, target: str, **settings: Any) -> None:
        super().__init__(target, **settings)
        # Without a lock, which a killed worker could hold for ever.
        self.closing = multiprocessing.RawValue("b", 0)

    def shutdown(self, exit_code: int = 0) -> None:
        self.closing.value = 1
        time.sleep(CLOSING_SECONDS)
        super().shutdown(exit_code)  # type: ignore[no-untyped-call]


def build(orders: Orders, *, drain_seconds: int = DRAIN_SECONDS) -> Server:
    return Server(
        "coderapi.wsgi:application",
        address=orders["host"],
        port=orders["port"],
        interface=Interfaces.WSGI,
        workers=orders["workers"],
        blocking_threads=orders["threads"],
        backlog=BACKLOG,
        backpressure=CONNECTIONS,
        http=HTTPModes.http1,
        http1_settings=HTTP1Settings(header_read_timeout=HEAD_MILLISECONDS),
        websockets=False,
        log_level=LogLevels.warning,
        log_dictconfig=orders["logging"],
        respawn_failed_workers=True,
        workers_kill_timeout=drain_seconds,
        **_tls(orders["tls"]),
    )


def _tls(orders: Orders | None) -> dict[str, Any]:
    """Returns granian's arguments for the certificate, if there is one."""
    if orders is None:
        return {}
    return {
        "ssl_cert": Path(orders["certificate"]),
        "ssl_key": Path(orders["key"]),
        "ssl_protocol_min": MIN_VERSIONS[orders["min_version"]],
        "ssl_ca": Path(orders["client_ca"]) if orders["client_ca"] else None,
        "ssl_client_verify": bool(orders["client_ca"]),
    }


def _is_news(record: logging.LogRecord) -> bool:
    """Drops the warning about many threads: ours mostly wait, and their number was measured."""
    return "Python threads" not in record.getMessage()


def load(flags: bootstrap.Flags, *, closing: Any) -> WSGIApplication:
    """Returns the application, in a fresh worker process. `closing.value` ends connections."""
    threading.Thread(target=_end_with_parent, name="lifeline", daemon=True).start()
    bootstrap.adopt_flags(flags)
    from coderapi.wsgi import application
    from kernel.http import body

    body.when_stuck = ask_for_successors
    _prepare_worker()
    return _closed_by(closing, application)


def _closed_by(closing: Any, application: WSGIApplication) -> WSGIApplication:
    def answer(environ: Any, start_response: Any) -> Any:
        def start(status: str, headers: list[tuple[str, str]], *more: Any) -> Any:
            last = [("Connection", "close")] if closing.value else []
            return start_response(status, [*headers, *last], *more)

        return application(environ, start)

    return answer


def _prepare_worker() -> None:
    for name in [name for name in os.environ if name.startswith(REQUEST_LOOKALIKES)]:
        del os.environ[name]


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        end_soon(DRAIN_SECONDS)


def ask_for_successors() -> None:
    """Has granian start new workers and end the old ones, with all that they are stuck on."""
    parent = multiprocessing.parent_process()
    if parent is not None and parent.pid is not None:
        os.kill(parent.pid, signal.SIGHUP)


if __name__ == "__main__":
    main()
