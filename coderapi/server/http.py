"""The web workers: child processes that serve HTTP with granian."""

from __future__ import annotations

import ctypes
import os
import select
import signal
import socket
import stat
import struct
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from granian.constants import HTTPModes, Interfaces, RuntimeModes
from granian.http import HTTP1Settings
from granian.log import LogLevels
from granian.server.mp import MPServer

from kernel.loops import stopping

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

# The maximum number of open connections of each worker, including idle connections. The number of
# threads limits how many requests run at the same time.
CONNECTIONS = 4096
# The time limit for receiving the headers of a request. An idle connection is closed after the same
# time.
HEAD_MILLISECONDS = 15_000
# When the server stops, workers have this long to finish their requests. The supervisor waits
# longer, and a request body must arrive in less time.
DRAIN_SECONDS = 20.0
# Before a worker ends, its responses contain `Connection: close` for this long, or until no client
# is connected.
CLOSING_SECONDS = 0.8
# Then it drops new connections, for this long or until no client is connected.
DROPPING_SECONDS = 0.2
# Also the time to complete handshakes that began before new connections were dropped.
POLL_SECONDS = 0.01
# A BPF program: if the byte with the flags of the TCP header has the bit SYN, drop the packet.
DROP_SYN = b"".join(
    struct.pack("HBBI", *instruction)
    for instruction in ((0x30, 0, 0, 13), (0x45, 0, 1, 2), (0x06, 0, 0, 0), (0x06, 0, 0, 0xFFFF))
)
SO_ATTACH_FILTER = 26

# granian copies the process environment into the WSGI environ of every request. There, variables
# with these prefixes would look like request headers.
HEADER_LIKE_PREFIXES = ("HTTP_", "CONTENT_", "REMOTE_", "HTTPS")


class Worker(MPServer):
    """A granian server whose worker runs in this process. `more` are arguments of granian.

    Before the worker stops, it serves requests for `delay` seconds, so that load balancers notice.

    granian itself would start its workers as children of a main process. Here they are children of
    the supervisor, which creates this object.
    """

    def __init__(
        self,
        *,
        host: str,
        port: int,
        threads: int,
        keep_alive: bool = True,
        delay: float = 0.0,
        **more: Any,
    ) -> None:
        super().__init__(
            "",
            address=host,
            port=port,
            interface=Interfaces.WSGI,
            runtime_mode=RuntimeModes.mt,
            blocking_threads=threads,
            backpressure=CONNECTIONS,
            http=HTTPModes.http1,
            http1_settings=HTTP1Settings(
                keep_alive=keep_alive, header_read_timeout=HEAD_MILLISECONDS
            ),
            websockets=False,
            log_level=LogLevels.warning,
            **more,
        )
        self._is_closing = False
        self._delay = delay
        # Outside of Linux, all workers use the same listening socket.
        self._init_shared_socket()  # type: ignore[no-untyped-call]

    def run(self, load: Callable[[], WSGIApplication]) -> None:
        """Serves the application that `load` returns, until SIGTERM."""
        for name in [name for name in os.environ if name.startswith(HEADER_LIKE_PREFIXES)]:
            del os.environ[name]
        worker = self._spawn_worker(0, self._spawn_wsgi_worker, lambda: self._closing(load()))
        worker.inner.run()

    def prepare_end(self) -> None:
        """Serves requests during the delay. Then closes each connection after its next response.

        Returns when no client is connected. The times are limited, because an idle client sends no
        further request.
        """
        stopping.set()
        time.sleep(self._delay)
        self._is_closing = True
        self._wait_for_clients(CLOSING_SECONDS)
        drop_new_connections(self.bind_port)
        time.sleep(POLL_SECONDS)
        self._wait_for_clients(DROPPING_SECONDS)

    def _wait_for_clients(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
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
    """Returns whether a client is connected through the port, or waits to be accepted."""
    # A connection that is accepted between the two searches is found by the second.
    return any(map(_has_queue, _sockets(port))) or any(map(_is_connected, _sockets(port)))


def _sockets(port: int) -> Iterator[socket.socket]:
    """Yields a copy of each socket of this process that is bound to the port."""
    for path in Path("/dev/fd").iterdir():
        with suppress(OSError):
            if stat.S_ISSOCK(os.fstat(int(path.name)).st_mode):
                with socket.socket(fileno=os.dup(int(path.name))) as copy:
                    is_ip = copy.family in {socket.AF_INET, socket.AF_INET6}
                    if is_ip and copy.getsockname()[1] == port:
                        yield copy


def _has_queue(one: socket.socket) -> bool:
    # Not `select.select`, because a descriptor may be above its maximum of 1023.
    look = select.poll()
    look.register(one, select.POLLIN)
    return bool(one.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) and look.poll(0))


def _is_connected(one: socket.socket) -> bool:
    with suppress(OSError):
        return bool(one.getpeername())
    return False


def drop_new_connections(port: int) -> None:
    """Drops the packets that open a connection to this process.

    When a listening socket is closed, the kernel resets the connections that wait to be accepted.
    granian also closes the accepted ones that it has not read from. Their clients may have sent a
    request. A client whose packet is dropped repeats it after a second, and then is refused or
    connects to the next server.
    """
    if sys.platform == "linux":
        program = ctypes.create_string_buffer(DROP_SYN, len(DROP_SYN))
        pointer = struct.pack("HP", len(DROP_SYN) // 8, ctypes.addressof(program))
        for one in _sockets(port):
            with suppress(OSError):
                one.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, pointer)


def ask_for_replacement() -> None:
    """Makes the supervisor replace the web workers, which also ends threads that are stuck."""
    os.kill(os.getppid(), signal.SIGUSR1)
