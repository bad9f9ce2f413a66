"""Serves an application in a thread of the test, under the server of the web workers."""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import replace
from socket import SO_RCVBUF, SOL_SOCKET, create_connection, create_server, socket
from typing import Any

import uvloop

from coderapi.server.clients import Clients
from coderapi.server.connection import Application
from coderapi.server.limits import Limits
from coderapi.server.listener import Listener
from coderapi.server.worker import Server
from tests.support.processes import DEADLINE_SECONDS, wait_for

# The end of a server need not wait for the clients of a test.
LIMITS = Limits(small_bytes=0, drain_seconds=1, closing_seconds=0.01, last_seconds=0.1)


class Serving:
    """A server in a thread."""

    def __init__(self, server: Server, loop: asyncio.AbstractEventLoop, port: int) -> None:
        self.server, self.loop, self.port = server, loop, port
        self.ending = asyncio.Event()
        self.opened: list[socket] = []

    @property
    def clients(self) -> Clients:
        return self.server.clients

    def connect(self, sent: bytes = b"", address: str = "127.0.0.1") -> socket:
        client = create_connection(
            ("127.0.0.1", self.port), timeout=DEADLINE_SECONDS, source_address=(address, 0)
        )
        self.opened.append(client)
        client.sendall(sent)
        return client

    def later(self, seconds: float) -> None:
        """Puts the clock of the clients forward, and disconnects those that are late then."""
        clock, done = self.clients.clock, threading.Event()

        def put_forward() -> None:
            self.clients.clock = lambda: clock() + seconds
            self.clients.sweep()
            done.set()

        self.loop.call_soon_threadsafe(put_forward)
        assert done.wait(DEADLINE_SECONDS)

    def end(self) -> None:
        with suppress(RuntimeError):  # It has ended.
            self.loop.call_soon_threadsafe(self.ending.set)


@contextmanager
def serving(
    application: Application,
    listener: Listener | None = None,
    *,
    tls: ssl.SSLContext | None = None,
    **limits: Any,
) -> Iterator[Serving]:
    """Serves the application with these limits. Yields the server."""
    listener = listener or Listener(create_server(("127.0.0.1", 0)))
    listener.open()
    port = listener.socket.getsockname()[1]
    started: list[Serving] = []

    async def serve() -> None:
        server = Server(application, listener, limits=replace(LIMITS, **limits), tls=tls)
        server.start()
        serving = Serving(server, asyncio.get_running_loop(), port)
        started.append(serving)
        await serving.ending.wait()
        await server.end()

    def run() -> None:
        asyncio.run(serve(), loop_factory=uvloop.new_event_loop)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    [found] = wait_for(lambda: started)
    try:
        yield found
    finally:
        found.end()
        thread.join(DEADLINE_SECONDS)
        for each in found.opened:
            each.close()
    assert not thread.is_alive()


def unread(port: int, sent: bytes, *, address: str = "127.0.0.1") -> socket:
    """Returns a connection that sends this, and does not read what it gets."""
    client = socket()
    client.setsockopt(SOL_SOCKET, SO_RCVBUF, 4096)
    client.settimeout(DEADLINE_SECONDS)
    client.bind((address, 0))
    client.connect(("127.0.0.1", port))
    client.sendall(sent)
    return client


@contextmanager
def stalled(port: int, *, addresses: Sequence[str]) -> Iterator[None]:
    """Keeps a request of each address open. Their bodies never arrive."""
    head = b"POST /api/v2/users/login HTTP/1.1\r\nHost: localhost\r\nContent-Length: 500\r\n\r\na"
    with ExitStack() as opened:
        for address in addresses:
            opened.enter_context(closing(unread(port, head, address=address)))
        yield


def until_the_end(client: socket) -> bytes:
    with closing(client), client.makefile("rb") as file:
        return file.read()


type Connect = Callable[[bytes], socket]
