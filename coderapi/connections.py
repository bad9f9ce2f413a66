"""Counts and limits the connections of a web worker, and disconnects clients that are late.

* The head of a request must arrive within `HEAD_SECONDS`. An idle connection is closed after the
  same time. `kernel.http.body` limits the time for a body.
* A client that reads no part of a response for `STALLED_SECONDS` is disconnected.
* If there are too many connections, some connections of the busiest address are closed. Those that
  have waited longest for their client are closed first, for example for the handshake of TLS.
* If too many bytes wait to be read by clients, the connections that stalled first are closed.

`coderapi.protocol` reads requests and sends responses.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from itertools import chain, islice
from socket import socket
from types import SimpleNamespace
from typing import Any, ClassVar

from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from kernel.http.hosts import client_of

HEAD_SECONDS = 15.0
STALLED_SECONDS = 60.0
SWEEP_SECONDS = 1.0
# The maximum number of open connections of each worker, including idle connections. With few file
# descriptors, it is lower.
MAX_CONNECTIONS = 4096
# The maximum number of bytes that wait for all clients to read them.
MAX_UNSENT_BYTES = 128 * 1024 * 1024
# The number of connections that are closed together if there are too many.
CLOSED_TOGETHER = 16
NAMES = ("sockname", "peername")

log = logging.getLogger(__name__)


def _host_and_port(name: Any) -> tuple[str, int] | None:
    return (str(name[0]), int(name[1])) if isinstance(name, tuple) else None


class CountedConnection(HttpToolsProtocol):
    """A connection from its start to its end, without the requests."""

    # The connections that wait for a head, or for the body of the running request, with the time
    # when they began. They are in the order of this time.
    waiting: ClassVar[dict[CountedConnection, float]] = {}
    # The connections whose client has not read anything since the last check.
    stalled: ClassVar[set[CountedConnection]] = set()
    open: ClassVar[set[CountedConnection]] = set()
    # The number of open connections of each address.
    addresses: ClassVar[Counter[str]] = Counter()
    max_open: ClassVar[int] = MAX_CONNECTIONS

    # The bytes that the client had not read at the last check, and when it last read some.
    unsent = 0
    read_at = 0.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        # uvicorn asks the operating system for both addresses. Meanwhile, another thread could
        # begin to use the interpreter for some milliseconds.
        self.connections.add(self)
        self.transport, self.flow = transport, FlowControl(transport)
        self.server, self.client = map(_host_and_port, map(transport.get_extra_info, NAMES))
        self.scheme = "https" if transport.get_extra_info("sslcontext") else "http"
        if self not in self.open:
            self._count(self.client[0] if self.client else "")
        self._wait_for_client()

    def _count(self, address: str) -> None:
        self._address = client_of(address)
        self.open.add(self)
        self.addresses[self._address] += 1
        if len(self.open) > self.max_open:
            self._make_room()

    async def connect_with_tls(self, accepted: socket, address: str, **tls: Any) -> None:
        """Makes the handshake of TLS. `tls` has the arguments of `connect_accepted_socket` for it.

        Meanwhile, the connection counts like others, and this task can be canceled to close it.
        """
        task: Any = asyncio.current_task()
        self.transport: Any = SimpleNamespace(
            abort=task.cancel, close=task.cancel, get_write_buffer_size=lambda: 0
        )
        self._count(address)
        self._wait_for_client()
        try:
            await self.loop.connect_accepted_socket(lambda: self, accepted, **tls)
        finally:
            if self.scheme is None:
                self.connection_lost(ConnectionAbortedError())

    @classmethod
    def _make_room(cls) -> None:
        """Closes some connections of the address with the most connections.

        Connections that have waited longest for their client are the first.
        """
        most = max(cls.addresses, key=cls.addresses.__getitem__)
        candidates = chain(cls.waiting, cls.stalled, cls.open)
        found = islice((each for each in candidates if each._address == most), CLOSED_TOGETHER)
        for each in [*found]:
            each.transport.abort()

    def _wait_for_client(self) -> None:
        self.waiting.pop(self, None)
        self.waiting[self] = self.loop.time()

    def connection_lost(self, exc: Exception | None) -> None:
        self.open.discard(self)
        self.waiting.pop(self, None)
        self.stalled.discard(self)
        self.addresses[self._address] -= 1
        if not self.addresses[self._address]:
            del self.addresses[self._address]
        super().connection_lost(exc)

    def is_late(self, now: float) -> bool:
        """Returns whether a head is late, or the client has stopped reading a response."""
        unsent = self.transport.get_write_buffer_size()
        if unsent == 0 or unsent < self.unsent or self.unsent == 0:
            self.read_at = now
            self.stalled.discard(self)
        else:
            self.stalled.add(self)
        self.unsent = unsent
        if unsent == 0:
            return self.waiting.get(self, now) < now - HEAD_SECONDS
        if self in self.waiting:
            # The client reads the end of a response, so it cannot be late with the next head.
            self._wait_for_client()
        return self.read_at < now - STALLED_SECONDS


def _limit_unsent() -> None:
    """Closes connections whose client does not read, while too many bytes wait to be read."""
    too_many = sum(each.unsent for each in CountedConnection.open) - MAX_UNSENT_BYTES
    for each in sorted(CountedConnection.stalled, key=lambda stalled: stalled.read_at):
        if too_many <= 0:
            return
        too_many -= each.unsent
        each.transport.abort()


async def close_late_connections() -> None:
    """Closes connections whose clients are late or do not read. Runs until it is canceled."""
    loop = asyncio.get_running_loop()
    while True:
        now = loop.time()
        for connection in [*CountedConnection.open]:
            try:
                if connection.is_late(now):
                    connection.transport.abort()
            except Exception:
                # The other connections must still be checked.
                log.exception("A connection could not be checked")
        _limit_unsent()
        await asyncio.sleep(SWEEP_SECONDS)
