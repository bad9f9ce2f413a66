"""Where the server listens: plain HTTP, HTTPS, or both; each is a child process of its own."""

from __future__ import annotations

import http.client
import logging
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime

from django.conf import settings

from coderapi.bootstrap import server_flags
from coderapi.server.address import Claim
from coderapi.server.certificates import Certificate, certificate
from coderapi.server.lifeline import Orders

logger = logging.getLogger(__name__)

READY_POLL_SECONDS = 0.1
READY_TIMEOUT_SECONDS = 2.0


@dataclass(frozen=True)
class Listener:
    """One address, claimed for as long as the server lives."""

    name: str
    claim: Claim
    certificate: Certificate | None = None

    @property
    def url(self) -> str:
        return f"{self.name.lower()}://{self.claim.address}"

    @property
    def reachable_url(self) -> str:
        """What a client on this machine would call it."""
        address = self.claim.address
        host = address.reachable_host
        host = f"[{host}]" if ":" in host else host
        return f"{self.name.lower()}://{host}:{address.port}"

    def orders(self) -> Orders:
        return {
            "flags": server_flags(),
            "host": self.claim.address.host,
            "port": self.claim.address.port,
            "workers": settings.WEB_WORKERS,
            "threads": settings.WEB_THREADS,
            "logging": settings.LOGGING,
            "tls": self.certificate.orders() if self.certificate else None,
        }


def claim_all(now: datetime) -> list[Listener]:
    """The listeners that the options ask for. Raises: AddressError, CertificateError."""
    return [*_plain(), *_encrypted(now)]


def _plain() -> Iterator[Listener]:
    if settings.HTTP_ADDRESS:
        yield Listener("HTTP", Claim(settings.HTTP_ADDRESS))


def _encrypted(now: datetime) -> Iterator[Listener]:
    if settings.OPTIONS["tls.enable"]:
        found = certificate(settings.OPTIONS, data_dir=settings.DATA_DIR, now=now)
        yield Listener("HTTPS", Claim(str(settings.OPTIONS["tls.address"])), found)


def announce_ready(listener: Listener, given_up: Callable[[], bool]) -> None:
    """Logs once that the listener answers, when it does."""
    answers = _accepts if listener.certificate else _answers
    while not given_up():
        if answers(listener):
            logger.info("Ready: %s answers", listener.url)
            return
        time.sleep(READY_POLL_SECONDS)


def _answers(listener: Listener) -> bool:
    address = listener.claim.address
    connection = http.client.HTTPConnection(
        address.reachable_host, address.port, timeout=READY_TIMEOUT_SECONDS
    )
    try:
        connection.request("GET", "/healthz")
        connection.getresponse()
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
    return True


def _accepts(listener: Listener) -> bool:
    """Whether it takes a connection. A request could need a certificate that we have not."""
    address = listener.claim.address
    try:
        socket.create_connection(
            (address.reachable_host, address.port), timeout=READY_TIMEOUT_SECONDS
        ).close()
    except OSError:
        return False
    return True
