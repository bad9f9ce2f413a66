"""The web workers: child processes that serve HTTP in an event loop."""

from __future__ import annotations

import asyncio
import logging
import resource
import signal
import ssl
import sys
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import replace
from typing import Any, cast

import uvloop

from coderapi.server.clients import Clients
from coderapi.server.connection import Application, Connection
from coderapi.server.limits import Limits
from coderapi.server.listener import Acceptor, Listener, Share
from kernel.http.asking import Inbox
from kernel.loops import stopping

logger = logging.getLogger(__name__)

POLL_SECONDS = 0.01
SWITCH_SECONDS = 0.001
# The number of file descriptors for databases, files, and connections that are not accepted yet.
OTHER_DESCRIPTORS = 256
# When the server stops, workers have this long to finish their requests, after the delay.
DRAIN_SECONDS = 21.0


class Server:
    """Serves an application in the running event loop."""

    def __init__(
        self,
        application: Application,
        listener: Listener,
        *,
        limits: Limits | None = None,
        tls: ssl.SSLContext | None = None,
        share: Share | None = None,
    ) -> None:
        self._application, self._listener = application, listener
        self._share = share or listener.share()
        self._limits = limits or Limits()
        loop = asyncio.get_running_loop()
        self.clients = Clients(self._limits, loop.time)
        self._inbox = Inbox(loop)
        self._address: tuple[str, int] = listener.socket.getsockname()[:2]
        self._scheme = "https" if tls else "http"
        pause = self._limits.accept_pause_seconds
        self._acceptor = Acceptor(
            listener,
            self._connection,
            tls,
            is_ahead=lambda: self._share.is_ahead(len(self.clients.open)),
            pause_seconds=pause,
        )
        self._watching: asyncio.Task[None] | None = None

    def _connection(self, peer: str) -> Connection:
        return Connection(
            self._application,
            self.clients,
            self._inbox,
            peer=peer,
            server=self._address,
            scheme=self._scheme,
        )

    def start(self) -> None:
        self._watching = asyncio.create_task(self.clients.watch())
        self._acceptor.start()

    async def end(self) -> None:
        """Lets clients close their connections, stops accepting, and finishes the requests."""
        limits, clients = self._limits, self.clients
        clients.is_closing = True
        await self._until(lambda: not clients.open, limits.closing_seconds)
        if self._listener.ignore_new():
            await asyncio.sleep(limits.handshake_seconds)
        self._acceptor.stop()
        self._share.leave()
        # Requests that have just arrived are read and answered.
        await self._until(lambda: not clients.open, limits.last_seconds)
        for each in self._connections():
            if each.is_idle:
                each.close()
        await self._until(self._is_finished, limits.drain_seconds)
        for each in self._connections():
            each.end_early()
        await self._until(lambda: not clients.open, limits.canceled_seconds)
        for each in self._connections():
            each.abort()
        if self._watching:
            self._watching.cancel()

    def _connections(self) -> list[Connection]:
        return [cast("Connection", each) for each in self.clients.open]

    def _is_finished(self) -> bool:
        # A client may still read the end of a response.
        return all(each.is_idle and not each.unsent for each in self._connections())

    @staticmethod
    async def _until(condition: Callable[[], bool], seconds: float) -> None:
        until = asyncio.get_running_loop().time() + seconds
        while not condition() and asyncio.get_running_loop().time() < until:
            await asyncio.sleep(POLL_SECONDS)


class Worker:
    """A process that serves an application. `load` returns the application, in the new process.

    Before the worker ends, it serves requests for `delay` seconds, so that load balancers notice.
    The worker logs that it is ready if it has a `url`. `tasks` run in its event loop.
    """

    def __init__(
        self,
        listener: Listener,
        load: Callable[[], Application],
        *,
        tls: ssl.SSLContext | None = None,
        delay: float = 0.0,
        url: str = "",
        tasks: Iterable[Callable[[], Coroutine[Any, Any, None]]] = (),
    ) -> None:
        self.listener, self._share = listener, listener.share()
        self._load = load
        self._tls = tls
        self._delay = delay
        self._url = url
        self._tasks = tasks

    def run(self) -> None:
        """Serves the application until SIGTERM. During its start, SIGTERM ends it at once."""
        application = self._load()
        # Otherwise the event loop would wait 5 ms for each thread that uses the processor.
        sys.setswitchinterval(SWITCH_SECONDS)
        asyncio.run(self._serve(application), loop_factory=uvloop.new_event_loop)

    async def _serve(self, application: Application) -> None:
        loop, ending = asyncio.get_running_loop(), asyncio.Event()
        for signum in (signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(signum) is not signal.SIG_IGN:
                loop.add_signal_handler(signum, ending.set)
        server = Server(
            application,
            self.listener,
            limits=_limits(),
            tls=self._tls,
            share=self._share,
        )
        # `asyncio.run` cancels them at the end.
        _tasks = [asyncio.create_task(each()) for each in self._tasks]
        server.start()
        if self._url:
            logger.info("Ready: %s answers", self._url)
        await ending.wait()
        stopping.set()
        await asyncio.sleep(self._delay)
        await server.end()


def _limits() -> Limits:
    """Returns the usual limits, or lower ones if this process may open only few files."""
    limits = Limits()
    # Each connection needs a file descriptor. The soft limit is often 1,024.
    _, files = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
    if files == resource.RLIM_INFINITY:
        return limits
    most = min(limits.connections, max(files - OTHER_DESCRIPTORS, files // 2))
    of_address = max(1, most * limits.connections_of_address // limits.connections)
    return replace(limits, connections=most, connections_of_address=of_address)
