"""The web workers: child processes that serve HTTP with uvicorn."""

from __future__ import annotations

import asyncio
import ctypes
import logging
import os
import resource
import signal
import socket
import ssl
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Iterable, Iterator
from contextlib import suppress
from functools import partial
from itertools import islice
from types import FrameType
from typing import Any

import uvicorn
import uvloop

from coderapi.connections import CLOSED_TOGETHER, HEAD_SECONDS, close_late_connections
from coderapi.protocol import Connection
from kernel.loops import stopping

logger = logging.getLogger(__name__)

type Application = Callable[[Any, Any, Any], Coroutine[Any, Any, None]]
# C functions that are called with the lock of Python's interpreter, so no other thread can run.
LIBC = ctypes.PyDLL(None)
# A connection, and the address of the client.
type Accepted = tuple[socket.socket, Any]

# When the server stops, workers have this long to finish their requests. The supervisor waits
# longer, and a request body must arrive in less time.
DRAIN_SECONDS = 20.0
# The last part of this time is for requests that had to be canceled.
CANCELED_SECONDS = 3.0
# Before a worker ends, its responses contain `Connection: close` for this long, or until no client
# is connected.
CLOSING_SECONDS = 0.8
POLL_SECONDS = 0.01
# The number of file descriptors for databases, files, and connections that are not accepted yet.
OTHER_DESCRIPTORS = 256
SWITCH_SECONDS = 0.001
# Connections that were accepted at the very end also have this long to send a request.
LAST_SECONDS = 0.2
# The number of connections that wait to be accepted. Linux limits it to `net.core.somaxconn`.
BACKLOG = 2048
# The pause after a connection could not be accepted, for example with too many open files.
ACCEPT_PAUSE_SECONDS = 1.0


class Listener:
    """The listening socket of one worker. The supervisor also holds it.

    So if the worker ends, the connections that it has not accepted wait for the next worker. Linux
    shares new connections equally among the sockets of a port. If the workers had one socket, one
    of them would accept most connections.
    """

    def __init__(self, host: str, port: int) -> None:
        self._address = host, port
        self._socket: socket.socket | None = None

    def open(self) -> socket.socket:
        """Returns the socket. Opens it if it is closed."""
        if self._socket is None:
            # With the protocol 0, asyncio would not set TCP_NODELAY on connections.
            family = socket.AF_INET6 if ":" in self._address[0] else socket.AF_INET
            self._socket = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
            # With SO_REUSEADDR, the next server can use the port while old connections still end.
            for option in (socket.SO_REUSEADDR, socket.SO_REUSEPORT):
                self._socket.setsockopt(socket.SOL_SOCKET, option, 1)
            self._socket.bind(self._address)
            self._socket.listen(BACKLOG)
        return self._socket

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
        self._socket = None


# The times for the first and the last handshake of a connection with TLS. With longer ones, idle
# clients would delay the end of a worker.
TLS_SECONDS = {"ssl_handshake_timeout": 5.0, "ssl_shutdown_timeout": 1.0}


class Loop(uvloop.Loop):
    """An event loop whose servers also count and limit connections in the handshake of TLS."""

    async def create_server(self, *arguments: Any, **more: Any) -> Any:
        if tls := more.get("ssl"):
            return TLSServer(arguments[0], more["sock"], tls)
        return await super().create_server(*arguments, **more)


class TLSServer:
    """Replaces uvloop's server for connections with TLS. It has the methods that uvicorn calls."""

    def __init__(
        self, make: Callable[[], Connection], listener: socket.socket, tls: ssl.SSLContext
    ) -> None:
        self._make, self._listener, self._tls = make, listener, tls
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop = asyncio.get_running_loop()
        self._begin()

    def _begin(self) -> None:
        if self._listener.fileno() >= 0:
            self._loop.add_reader(self._listener, self._accept)

    def _accept(self) -> None:
        # Connections that must be closed to make room are closed before this is called again.
        try:
            for accepted in islice(_waiting_connections(self._listener), CLOSED_TOGETHER):
                task = self._loop.create_task(connect(self._make, accepted, self._tls))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
        except OSError as error:
            # The connection still waits, so without a pause this would be called again at once.
            logger.warning("No connection can be accepted: %s", error.strerror)
            self._loop.remove_reader(self._listener)
            self._loop.call_later(ACCEPT_PAUSE_SECONDS, self._begin)

    def close(self) -> None:
        # uvicorn calls this twice.
        if self._listener.fileno() >= 0:
            self._loop.remove_reader(self._listener)
            self._listener.close()

    async def wait_closed(self) -> None:
        """Returns at once, because the socket has been closed."""


async def connect(
    make: Callable[[], Connection], accepted: Accepted, tls: ssl.SSLContext | None
) -> None:
    client, address = accepted
    with suppress(OSError):  # The client has disconnected.
        if tls:
            await make().connect_with_tls(client, str(address[0]), ssl=tls, **TLS_SECONDS)
        else:
            await asyncio.get_running_loop().connect_accepted_socket(make, client)


class Server(uvicorn.Server):
    """A uvicorn server that accepts and serves all waiting connections before it stops.

    When a listening socket is closed, the kernel resets the connections that wait to be accepted.
    Their clients may have sent a request.
    """

    # Whether the worker ends. A signal that arrives before uvicorn handles signals would be lost.
    is_ending = False

    def __init__(self, config: uvicorn.Config, prepare_end: Callable[[], None] | None = None):
        super().__init__(config)
        self._prepare_end = prepare_end

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Prepares the end first, if an operator and not the supervisor stops this worker."""
        if self._prepare_end is None or Server.is_ending:
            super().handle_exit(sig, frame)
        elif not stopping.is_set():
            threading.Thread(target=self._prepare_end, name="end", daemon=True).start()

    async def on_tick(self, counter: int) -> bool:
        return await super().on_tick(counter) or Server.is_ending

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        accepted = self._accept_last(sockets or [])
        make = partial(
            Connection,
            self.config,
            self.server_state,
            self.lifespan.state,
            asyncio.get_running_loop(),
        )
        tls = self.config.ssl
        connecting = [asyncio.ensure_future(connect(make, each, tls)) for each in accepted]
        deadline = time.monotonic() + LAST_SECONDS
        # Also without accepted connections, requests that have just arrived are read and answered.
        is_open = True
        while is_open and time.monotonic() < deadline:
            await asyncio.sleep(POLL_SECONDS)
            is_open = bool(Connection.open) or not all(each.done() for each in connecting)
        await super().shutdown()

    def _accept_last(self, listeners: Iterable[socket.socket]) -> list[Accepted]:
        """Accepts all waiting connections, and closes the listening sockets.

        A connection that arrives between the two is reset. So no other thread may run meanwhile. It
        could otherwise run for some milliseconds, because Python's own sockets let it run.
        """
        interval = sys.getswitchinterval()
        sys.setswitchinterval(LAST_SECONDS)
        found = []
        for listener in listeners:
            # It returns -1 if no connection waits, and also with too many open files. The running
            # requests must be finished then, too.
            while (descriptor := LIBC.accept(listener.fileno(), None, None)) >= 0:
                found.append(descriptor)
        for server in self.servers:
            server.close()
        sys.setswitchinterval(interval)
        return [*_with_addresses(found)]


def _with_addresses(descriptors: Iterable[int]) -> Iterator[Accepted]:
    for descriptor in descriptors:
        accepted = socket.socket(fileno=descriptor)
        accepted.setblocking(False)
        try:
            yield accepted, accepted.getpeername()
        except OSError:  # The client has disconnected.
            accepted.close()


def _waiting_connections(listener: socket.socket) -> Iterator[Accepted]:
    with suppress(BlockingIOError, ConnectionAbortedError):
        while True:
            accepted, address = listener.accept()
            accepted.setblocking(False)
            yield accepted, address


def configuration(application: Application, tls: ssl.SSLContext | None = None) -> uvicorn.Config:
    return uvicorn.Config(
        application,
        interface="asgi3",
        http=Connection,
        ws="none",
        lifespan="off",
        proxy_headers=False,
        server_header=False,
        log_config=None,
        log_level="warning",
        access_log=False,
        backlog=BACKLOG,
        timeout_keep_alive=int(HEAD_SECONDS),
        timeout_graceful_shutdown=int(DRAIN_SECONDS - CANCELED_SECONDS),
        ssl_context_factory=(lambda *_: tls) if tls else None,
    )


class Worker:
    """A uvicorn server of one listener. `load` returns the application, in the new process.

    Before the worker stops, it serves requests for `delay` seconds, so that load balancers notice.
    The worker logs that it is ready if it has a `url`. `tasks` run in its event loop.
    """

    def __init__(
        self,
        listener: Listener,
        load: Callable[[], Application],
        *,
        tls: ssl.SSLContext | None = None,
        keep_alive: bool = True,
        delay: float = 0.0,
        url: str = "",
        tasks: Iterable[Callable[[], Coroutine[Any, Any, None]]] = (),
    ) -> None:
        self.listener = listener
        self._load = load
        self._tls = tls
        self._keep_alive = keep_alive
        self._delay = delay
        self._url = url
        self._more = tasks

    def run(self) -> None:
        """Serves the application until SIGTERM."""
        # Until the application is loaded, the signal ends this process at once.
        application = self._load()
        # uvicorn handles the signal, and raises it again at the end.
        signal.signal(signal.SIGTERM, lambda *_: None)
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
            signal.signal(signal.SIGHUP, lambda *_: os.kill(os.getpid(), signal.SIGTERM))
        # Each connection needs a file descriptor. The soft limit is often 1,024.
        _, limit = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
        if limit != resource.RLIM_INFINITY:
            most = max(limit - OTHER_DESCRIPTORS, limit // 2)
            Connection.max_open = min(Connection.max_open, most)
        # Otherwise the event loop would wait 5 ms for each thread that uses the processor.
        sys.setswitchinterval(SWITCH_SECONDS)
        Connection.is_closing = not self._keep_alive
        asyncio.run(self._serve(application), loop_factory=Loop)

    async def _serve(self, application: Application) -> None:
        config = configuration(application, self._tls)
        # `asyncio.run` cancels them at the end.
        _tasks = [asyncio.create_task(each()) for each in (close_late_connections, *self._more)]
        if self._url:
            logger.info("Ready: %s answers", self._url)
        await Server(config, self.prepare_end).serve(sockets=[self.listener.open()])

    def prepare_end(self) -> None:
        """Serves requests during the delay. Then closes each connection after its next response.

        Returns when no client is connected. This time is limited, because an idle client sends no
        further request.
        """
        stopping.set()
        time.sleep(self._delay)
        Connection.is_closing = True
        deadline = time.monotonic() + CLOSING_SECONDS
        while time.monotonic() < deadline and Connection.open:
            time.sleep(POLL_SECONDS)
        Server.is_ending = True
