"""The web workers: child processes that serve HTTP with granian."""

from __future__ import annotations

import os
import signal
import socket
import stat
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from granian.constants import HTTPModes, Interfaces, RuntimeModes
from granian.http import HTTP1Settings
from granian.log import LogLevels
from granian.server.mp import MPServer

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

# The maximum number of open connections of each worker, including idle connections. The number of
# threads limits how many requests run at the same time.
CONNECTIONS = 4096
BACKLOG = 1024
# The time limit for receiving the headers of a request. An idle connection is closed after the same
# time.
HEAD_MILLISECONDS = 15_000
# When the server stops, workers have this long to finish their requests. The supervisor waits
# longer, and a request body must arrive in less time.
DRAIN_SECONDS = 20.0
# Before a worker ends, its responses contain `Connection: close` for this long, or until no client
# is connected.
CLOSING_SECONDS = 1.0
POLL_SECONDS = 0.01

# granian copies the process environment into the WSGI environ of every request. There, variables
# with these prefixes would look like request headers.
HEADER_LIKE_PREFIXES = ("HTTP_", "CONTENT_", "REMOTE_", "HTTPS")


class Worker(MPServer):
    """A granian server whose worker runs in this process.

    granian itself would start its workers as children of a main process. Here they are children of
    the supervisor, which creates this object.
    """

    def __init__(
        self,
        *,
        host: str,
        port: int,
        threads: int,
        tls: Mapping[str, Any] | None = None,
        logging: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(
            "",
            address=host,
            port=port,
            interface=Interfaces.WSGI,
            runtime_mode=RuntimeModes.mt,
            blocking_threads=threads,
            backlog=BACKLOG,
            backpressure=CONNECTIONS,
            http=HTTPModes.http1,
            http1_settings=HTTP1Settings(header_read_timeout=HEAD_MILLISECONDS),
            websockets=False,
            log_level=LogLevels.warning,
            log_dictconfig=logging,
            **(tls or {}),
        )
        self._is_closing = False
        # Outside of Linux, all workers use the same listening socket.
        self._init_shared_socket()  # type: ignore[no-untyped-call]

    def run(self, load: Callable[[], WSGIApplication]) -> None:
        """Serves the application that `load` returns, until SIGTERM."""
        _hide_header_like_variables()
        worker = self._spawn_worker(0, self._spawn_wsgi_worker, lambda: self._closing(load()))
        worker.inner.run()

    def close_connections(self) -> None:
        """Closes each connection after its next response, and waits until no client is connected.

        Waits at most CLOSING_SECONDS, because an idle client sends no further request.
        """
        self._is_closing = True
        deadline = time.monotonic() + CLOSING_SECONDS
        while time.monotonic() < deadline and has_clients(self.bind_port):
            time.sleep(POLL_SECONDS)

    def _closing(self, application: WSGIApplication) -> WSGIApplication:
        def answer(environ: Any, start_response: Any) -> Any:
            def start(status: str, headers: list[tuple[str, str]], *more: Any) -> Any:
                last = [("Connection", "close")] if self._is_closing else []
                return start_response(status, [*headers, *last], *more)

            return application(environ, start)

        return answer


def has_clients(port: int) -> bool:
    """Returns whether a client is connected to this process through the port."""
    return any(_is_client(int(path.name), port) for path in Path("/dev/fd").iterdir())


def _is_client(descriptor: int, port: int) -> bool:
    try:
        if not stat.S_ISSOCK(os.fstat(descriptor).st_mode):
            return False
        with socket.socket(fileno=os.dup(descriptor)) as connection:
            is_ip = connection.family in {socket.AF_INET, socket.AF_INET6}
            # For a listening socket, `getpeername` raises OSError.
            return is_ip and connection.getsockname()[1] == port and bool(connection.getpeername())
    except OSError:
        return False


def _hide_header_like_variables() -> None:
    for name in [name for name in os.environ if name.startswith(HEADER_LIKE_PREFIXES)]:
        del os.environ[name]


def ask_for_replacement() -> None:
    """Makes the supervisor replace the web workers, which also ends threads that are stuck."""
    os.kill(os.getppid(), signal.SIGUSR1)
