"""The addresses that the server listens on: read, claimed, and announced once they answer.

Plain HTTP, HTTPS, or both; each listener is a child process of its own.
"""

from __future__ import annotations

import errno
import logging
import socket
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime

from django.conf import settings

from coderapi.bootstrap import server_flags
from coderapi.server.certificates import Certificate, certificate
from coderapi.server.children import Orders

logger = logging.getLogger(__name__)

# After the server was killed, its children need a moment until they have let go of the port.
PATIENCE_SECONDS = 2.0
POLL_SECONDS = 0.1
READY_TIMEOUT_SECONDS = 2.0
READY_REQUEST = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


class AddressError(Exception):
    """The address cannot be listened on; the message names it and says why."""


@dataclass(frozen=True)
class Address:
    """An address to listen on. The host is an IP address."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def reachable_host(self) -> str:
        """Returns the host for a client on this machine."""
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
    """Returns host and port of `host:port`; an IPv6 host may stand in brackets."""
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


@dataclass(frozen=True)
class Listener:
    """One address, claimed for as long as the server lives."""

    name: str
    claim: Claim
    certificate: Certificate | None = None

    @property
    def url(self) -> str:
        """The URL for a client on this machine, never one with 0.0.0.0 or [::]."""
        address = self.claim.address
        return f"{self.name.lower()}://{Address(address.reachable_host, address.port)}"

    @property
    def note(self) -> str:
        """The text after the URL in a log: whether other machines can connect, too."""
        address = self.claim.address
        return "" if address.reachable_host == address.host else " (all addresses of this machine)"

    def orders(self) -> Orders:
        return {
            "flags": server_flags(),
            "host": self.claim.address.host,
            "port": self.claim.address.port,
            "workers": settings.WEB_WORKERS,
            "threads": settings.SERVER_THREADS,
            "logging": settings.LOGGING,
            "tls": asdict(self.certificate) if self.certificate else None,
        }


def claim_all(now: datetime) -> list[Listener]:
    """Claims what the options ask for. Raises: AddressError, CertificateError."""
    return [*_plain(), *_encrypted(now)]


def _plain() -> Iterator[Listener]:
    if settings.HTTP_ADDRESS:
        yield Listener("HTTP", Claim(settings.HTTP_ADDRESS))


def _encrypted(now: datetime) -> Iterator[Listener]:
    if settings.OPTIONS["tls.enable"]:
        found = certificate(settings.OPTIONS, now=now)
        yield Listener("HTTPS", Claim(str(settings.OPTIONS["tls.address"])), found)


def announce_ready(listener: Listener, stop: threading.Event) -> None:
    """Logs that the listener answers as soon as it does, unless the event is set first."""
    while not _answers(listener):
        if stop.wait(POLL_SECONDS):
            return
    logger.info("Ready: %s answers", listener.url)


def _answers(listener: Listener) -> bool:
    """Tells whether it answers a request. With TLS whether it takes a connection must do.

    A request over TLS could need a certificate that we lack.
    """
    place = (listener.claim.address.reachable_host, listener.claim.address.port)
    try:
        with socket.create_connection(place, timeout=READY_TIMEOUT_SECONDS) as connection:
            if listener.certificate:
                return True
            connection.sendall(READY_REQUEST)
            return bool(connection.recv(1))
    except OSError:
        return False
