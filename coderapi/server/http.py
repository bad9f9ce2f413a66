"""The child process that serves HTTP: the main process of granian, and its web workers.

The main process never loads Django. Its workers are started as new processes, not as forks.
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
from coderapi.server.children import WorkerConfiguration, end_soon, read_worker_configuration

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

# The maximum number of open connections of each worker, including idle connections. The number of
# threads limits how many requests run at the same time.
CONNECTIONS = 4096
BACKLOG = 1024
# The time limit for receiving the headers of a request. An idle connection is closed after the same
# time.
HEAD_MILLISECONDS = 15_000
# When the server stops, workers have this long to finish their requests. The time must be shorter
# than the time that the supervisor waits for this process, and longer than the time limit for a
# request body.
DRAIN_SECONDS = 20
# The seconds before the server stops in which its responses contain `Connection: close`.
CLOSING_SECONDS = 1.0

MIN_VERSIONS = {"tls12": SSLProtocols.tls12, "tls13": SSLProtocols.tls13}

# granian copies the process environment into the WSGI environ of every request. There, variables
# with these prefixes would look like request headers.
HEADER_LIKE_PREFIXES = ("HTTP_", "CONTENT_", "REMOTE_", "HTTPS")


def main() -> None:
    configuration = read_worker_configuration()
    multiprocessing.set_start_method("spawn")
    server = build(configuration)
    logging.getLogger("_granian").addFilter(_is_not_about_threads)
    loader = partial(load, configuration["flags"], closing=server.closing)
    server.serve(target_loader=loader, wrap_loader=False)


class Server(MPServer):
    """A granian server that closes each connection after the next response before it stops."""

    def __init__(self, target: str, **settings: Any) -> None:
        super().__init__(target, **settings)
        # A RawValue has no lock. With a lock, a worker could be killed before it releases the lock.
        self.closing = multiprocessing.RawValue("b", 0)

    def shutdown(self, exit_code: int = 0) -> None:
        self.closing.value = 1
        time.sleep(CLOSING_SECONDS)
        super().shutdown(exit_code)  # type: ignore[no-untyped-call]


def build(configuration: WorkerConfiguration, *, drain_seconds: int = DRAIN_SECONDS) -> Server:
    return Server(
        "coderapi.wsgi:application",
        address=configuration["host"],
        port=configuration["port"],
        interface=Interfaces.WSGI,
        workers=configuration["workers"],
        blocking_threads=configuration["threads"],
        backlog=BACKLOG,
        backpressure=CONNECTIONS,
        http=HTTPModes.http1,
        http1_settings=HTTP1Settings(header_read_timeout=HEAD_MILLISECONDS),
        websockets=False,
        log_level=LogLevels.warning,
        log_dictconfig=configuration["logging"],
        respawn_failed_workers=True,
        workers_kill_timeout=drain_seconds,
        **_tls(configuration["tls"]),
    )


def _tls(configuration: WorkerConfiguration | None) -> dict[str, Any]:
    """Returns the arguments of granian for TLS."""
    if configuration is None:
        return {}
    return {
        "ssl_cert": Path(configuration["certificate"]),
        "ssl_key": Path(configuration["key"]),
        "ssl_protocol_min": MIN_VERSIONS[configuration["min_version"]],
        "ssl_ca": Path(configuration["client_ca"]) if configuration["client_ca"] else None,
        "ssl_client_verify": bool(configuration["client_ca"]),
    }


def _is_not_about_threads(record: logging.LogRecord) -> bool:
    """Returns False for granian's warning about too many threads, so that it is not logged.

    Measurements show that the configured number of threads is good.
    """
    return "Python threads" not in record.getMessage()


def load(flags: bootstrap.Flags, *, closing: Any) -> WSGIApplication:
    """Loads the WSGI application in a new worker process.

    While `closing.value` is set, each response closes its connection.
    """
    threading.Thread(target=_end_with_parent, name="lifeline", daemon=True).start()
    bootstrap.adopt_flags(flags)
    from coderapi.wsgi import application
    from kernel.http import body

    body.when_stuck = restart_workers
    _hide_header_like_variables()
    return _closed_by(closing, application)


def _closed_by(closing: Any, application: WSGIApplication) -> WSGIApplication:
    def answer(environ: Any, start_response: Any) -> Any:
        def start(status: str, headers: list[tuple[str, str]], *more: Any) -> Any:
            last = [("Connection", "close")] if closing.value else []
            return start_response(status, [*headers, *last], *more)

        return application(environ, start)

    return answer


def _hide_header_like_variables() -> None:
    for name in [name for name in os.environ if name.startswith(HEADER_LIKE_PREFIXES)]:
        del os.environ[name]


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        end_soon(DRAIN_SECONDS)


def restart_workers() -> None:
    """Makes granian replace its workers, which also ends threads that are stuck."""
    parent = multiprocessing.parent_process()
    if parent is not None and parent.pid is not None:
        os.kill(parent.pid, signal.SIGHUP)


if __name__ == "__main__":
    main()
