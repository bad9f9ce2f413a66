"""This process's TCP connections with clients, as the kernel sees them (Linux only)."""

from __future__ import annotations

import os
import socket
import struct
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

# The beginning of the kernel's `struct tcp_info`, to its counters of bytes.
TCP_INFO = struct.Struct("=8B24I4Q")
LAST_SENT, LAST_RECEIVED, BYTES_ACKED = 8 + 9, 8 + 11, 8 + 24 + 2
# An interim `HTTP/1.1 100 Continue` is no answer, and no answer is as short.
INTERIM_BYTES = 26


@dataclass(frozen=True)
class Peer:
    """The client's end of a connection, and the port that it came to."""

    host: str
    port: int
    local_port: int


@dataclass(frozen=True)
class Waiting:
    """A connection that waits for an answer: its descriptor, and how long ago something came."""

    descriptor: int
    silent_ms: int


def unanswered() -> dict[Peer, Waiting]:
    """The connections on which something came since something was sent."""
    if sys.platform != "linux":
        return {}
    found = {}
    for descriptor in _socket_descriptors():
        with _opened(descriptor) as connection:
            try:
                info = _tcp_info(connection)
                if _awaits_answer(info):
                    found[_peer(connection)] = Waiting(descriptor, info[LAST_RECEIVED])
            except OSError:
                # It listens, or it has been closed meanwhile.
                continue
    return found


def stop_reading(peer: Peer, descriptor: int) -> None:
    """Ends what the client can say on a connection; it can still be answered."""
    with _opened(descriptor) as connection:
        try:
            if _peer(connection) == peer:
                connection.shutdown(socket.SHUT_RD)
        except OSError:
            return


def _socket_descriptors() -> Iterator[int]:
    for entry in Path("/proc/self/fd").iterdir():
        try:
            if str(entry.readlink()).startswith("socket:"):
                yield int(entry.name)
        except OSError:
            continue


def _opened(descriptor: int) -> socket.socket:
    """The connection under a descriptor of its own, so that closing it closes nothing else."""
    try:
        return socket.socket(fileno=os.dup(descriptor))
    except OSError:
        return socket.socket()


def _peer(connection: socket.socket) -> Peer:
    if connection.family not in {socket.AF_INET, socket.AF_INET6}:
        raise OSError
    host, port = connection.getpeername()[:2]
    return Peer(host, port, connection.getsockname()[1])


def _tcp_info(connection: socket.socket) -> tuple[int, ...]:
    return TCP_INFO.unpack(
        connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, TCP_INFO.size)
    )


def _awaits_answer(info: tuple[int, ...]) -> bool:
    # Both are milliseconds ago; equal where an answer followed at once.
    return info[LAST_RECEIVED] < info[LAST_SENT] or info[BYTES_ACKED] <= INTERIM_BYTES
