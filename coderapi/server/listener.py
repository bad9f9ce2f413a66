"""The listening socket of an address, and how a worker accepts its connections.

All workers of an address share one socket, which the supervisor opens. So connections wait in the
queue of this socket while a worker is replaced, and a worker that is busy leaves them to others.

If many clients connect at once, the worker that the operating system runs first would accept most
of them, and these clients would wait longer for their responses. So a worker with clearly more
connections than another one pauses before it accepts.
"""

from __future__ import annotations

import asyncio
import logging
import mmap
import socket
import ssl
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

from coderapi.server.connection import Connection

# The number of connections that wait to be accepted. Linux limits it to `net.core.somaxconn`.
BACKLOG = 2048
# The times for the first and the last handshake of a connection with TLS. With longer ones, idle
# clients would delay the end of a worker.
TLS_SECONDS = {"ssl_handshake_timeout": 5.0, "ssl_shutdown_timeout": 1.0}
# Linux's options for the least number of hops that a packet may still make (ip(7), for IPv4 and
# IPv6). Packets that clients send have 64 or 128, so a socket that requires 255 gets none of them.
HOP_LIMITS = ((socket.IPPROTO_IP, 21), (socket.IPPROTO_IPV6, 73))

# A worker that has LEAD connections and an eighth more than another one pauses for LEAD_SECONDS. It
# pauses only once for each connection, because the other worker may be busy.
LEAD = 2
LEAD_SECONDS = 0.002
# While a worker handles the requests of many connections, further clients wait for its next turn.
ACCEPTED_TOGETHER = 16

logger = logging.getLogger(__name__)


class Share:
    """The number of connections of one worker, in memory that all workers of a socket share."""

    def __init__(self, numbers: memoryview[int], place: int) -> None:
        self._numbers, self._place = numbers, place

    def is_ahead(self, number: int) -> bool:
        """Notes the number. Returns whether another worker has clearly fewer connections."""
        # 0 means that there is no worker.
        self._numbers[self._place] = number + 1
        least = min(filter(None, self._numbers))
        return number + 1 > least + LEAD + least // 8

    def leave(self) -> None:
        self._numbers[self._place] = 0


class Listener:
    """A bound socket. Another process also listens on an `is_inherited` socket: systemd.

    `is_ending` is true when the whole server ends, so that no other worker needs the socket.
    """

    is_ending = False

    def __init__(self, bound: socket.socket, *, is_inherited: bool = False) -> None:
        self.socket = bound
        self._is_inherited = is_inherited
        # Forked processes share this memory.
        self._numbers: memoryview[int] = memoryview(mmap.mmap(-1, 256 * 4)).cast("I")
        self._shares = 0

    def share(self) -> Share:
        """Returns the share of a further worker. Called before the workers are forked."""
        self._shares += 1
        return Share(self._numbers, self._shares - 1)

    def open(self) -> None:
        """Listens. Does nothing if the socket listens already."""
        # Accepted sockets inherit these options. With SO_REUSEADDR, the next server can use the
        # port while old connections still end.
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setblocking(False)
        self.socket.listen(BACKLOG)

    def pause(self) -> None:
        """Rejects connections until `open` is called, because no worker will accept them soon."""
        if not self._is_inherited:
            with suppress(OSError):  # It did not listen.
                self.socket.shutdown(socket.SHUT_RDWR)

    def ignore_new(self) -> bool:
        """Lets the kernel ignore new connections if the whole server ends. Returns whether it does.

        Otherwise a connection that arrives between the last `accept` and the end of the socket is
        reset, and a proxy cannot know whether its request was handled. A client that is ignored
        tries again after a second, when the address rejects connections or another server listens.
        """
        if self._is_inherited or not self.is_ending or sys.platform != "linux":
            return False
        require_hops(self.socket, 255)
        return True

    def close(self) -> None:
        self.socket.close()


def require_hops(of: socket.socket, hops: int) -> None:
    """Lets the kernel ignore packets to this socket that may make fewer hops. 0 ignores none."""
    for level, option in HOP_LIMITS:
        with suppress(OSError):  # A socket for IPv4 has no option of IPv6.
            of.setsockopt(level, option, hops)


class Acceptor:
    """Accepts the connections of a listening socket in an event loop.

    It accepts few connections each time, and pauses when it has more than another worker. So a
    worker does not take more than its share.
    """

    def __init__(
        self,
        listener: Listener,
        make: Callable[[str], Connection],
        tls: ssl.SSLContext | None,
        *,
        is_ahead: Callable[[], bool],
        pause_seconds: float,
    ) -> None:
        self._listener, self._socket, self._make = listener, listener.socket, make
        self._is_ahead, self._has_paused = is_ahead, False
        self._tls: dict[str, Any] = {"ssl": tls, **TLS_SECONDS} if tls else {}
        self._pause_seconds = pause_seconds
        self._loop = asyncio.get_running_loop()

    def start(self) -> None:
        if self._socket.fileno() >= 0:
            self._loop.add_reader(self._socket, self._accept_in_turn)

    def stop(self) -> None:
        """Accepts the connections that wait now, and closes this process's copy of the socket."""
        while self._accept():
            pass
        self._loop.remove_reader(self._socket)
        self._socket.close()

    def _accept_in_turn(self) -> None:
        """Accepts some connections. Pauses before one if another worker has fewer connections."""
        for _ in range(ACCEPTED_TOGETHER):
            self._has_paused = not self._has_paused and self._is_ahead()
            if self._has_paused:
                self._pause(LEAD_SECONDS)
                return
            if not self._accept():
                return

    def _pause(self, seconds: float) -> None:
        self._loop.remove_reader(self._socket)
        self._loop.call_later(seconds, self.start)

    def _accept(self) -> bool:
        """Accepts one connection. Returns whether one was waiting."""
        try:
            accepted, address = self._socket.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return False
        except OSError as error:
            # The connection still waits, so without a pause this would be called again at once.
            logger.warning("No connection can be accepted: %s", error.strerror)
            self._pause(self._pause_seconds)
            return False
        accepted.setblocking(False)
        if self._listener.is_ending:
            # Its handshake may have ended when the listening socket ignored packets.
            require_hops(accepted, 0)
        connection = self._make(str(address[0]))
        connecting = self._loop.connect_accepted_socket(lambda: connection, accepted, **self._tls)
        connection.connecting = self._loop.create_task(connecting)
        connection.connecting.add_done_callback(partial(_connected, connection, accepted))
        return True


def _connected(connection: Connection, accepted: socket.socket, task: asyncio.Task[Any]) -> None:
    """Called when the handshake has ended. A task may be canceled before it begins."""
    connection.connecting = None
    # Of a canceled task, uvloop closes the transport without telling the connection.
    if connection.transport is None or task.cancelled():
        connection.connection_lost(None)
        accepted.close()
    # The client has disconnected, or the connection was closed to make room.
    with suppress(OSError, asyncio.CancelledError):
        task.result()
