"""The address that the server listens on: read, resolved, and held while the server lives."""

from __future__ import annotations

import errno
import socket
import sys
import time
from dataclasses import dataclass

# After the server was killed, its children need a moment until they have let go of the port.
PATIENCE_SECONDS = 2.0
POLL_SECONDS = 0.1


class AddressError(Exception):
    """The address cannot be listened on; the message names it and says why."""


@dataclass(frozen=True)
class Address:
    """Where to listen. The host is an IP address."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def reachable_host(self) -> str:
        """The host for a client on this machine."""
        return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)  # noqa: S104


class Claim:
    """An address held by a socket that does not listen: our workers can share it, nobody else."""

    def __init__(self, text: str) -> None:
        self._socket = _bind_patiently(text)
        host, port = self._socket.getsockname()[:2]
        self.address = Address(host, port)
        if sys.platform == "linux":
            # With these two only sockets of this user that share the port on purpose are let in.
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        else:
            self._socket.close()

    def release(self) -> None:
        self._socket.close()


def split(text: str) -> tuple[str, int]:
    """Host and port of `host:port`; an IPv6 host may stand in brackets."""
    host, _, port = text.rpartition(":")
    return host.removeprefix("[").removesuffix("]"), int(port)


def _bind_patiently(text: str) -> socket.socket:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            return _bind(text)
        except OSError as error:
            if error.errno != errno.EADDRINUSE or time.monotonic() >= deadline:
                raise AddressError(_complaint(text, error)) from error
        time.sleep(POLL_SECONDS)


def _bind(text: str) -> socket.socket:
    host, port = split(text)
    found = socket.getaddrinfo(
        host or "0.0.0.0",  # noqa: S104 - no host stands for every one, as in Go
        port,
        type=socket.SOCK_STREAM,
        flags=socket.AI_PASSIVE,
    )
    family, kind, protocol, _, address = found[0]
    bound = socket.socket(family, kind, protocol)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
    except OSError:
        bound.close()
        raise
    return bound


def _complaint(text: str, error: OSError) -> str:
    advice = {
        errno.EADDRINUSE: "another program listens there: stop it, or choose another address "
        "with --http-address or CODERAPI_HTTP_ADDRESS",
        errno.EADDRNOTAVAIL: "this machine has no such address",
        errno.EACCES: "this user may not use the port",
    }.get(error.errno or 0, error.strerror)
    return f"Cannot listen on {text}: {advice}."
