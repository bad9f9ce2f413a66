"""Reserves the addresses on which the server listens for HTTP, HTTPS or both.

The addresses are reserved before Django's settings are loaded, because the default access URL is
the address of the server.
"""

from __future__ import annotations

import errno
import os
import socket
import sys
import time
from collections.abc import Sequence
from functools import cache
from typing import Any

from options.values.addresses import HostPort, split_host_port

# If a port is in use, binding is retried for this long. After a server was killed, its children
# need a moment to release the port.
CLAIM_SECONDS = 2.0
POLL_SECONDS = 0.1
# systemd passes its sockets as file descriptors from this number.
FIRST_DESCRIPTOR = 3
# The addresses to which clients on this machine connect if the server listens on all addresses.
LOOPBACK = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104


class AddressError(Exception):
    """The server cannot listen on an address. The message names the address and the cause."""


class Claim:
    """Reserves an address for our workers with a socket that is bound but does not listen.

    systemd may have opened the socket (socket activation). Then it listens already.
    """

    def __init__(self, text: str, *, option: str, scheme: str = "http") -> None:
        """Reserves the address. `option` names the flag and the variable that set it."""
        self.scheme = scheme
        inherited = _inherited_for(text)
        self.is_inherited = inherited is not None
        self.socket = inherited or _bind_with_retry(text, option)
        self.address = _address_of(self.socket)
        if sys.platform == "linux" and not self.is_inherited:
            # Now only sockets of the same user with SO_REUSEPORT can bind to the port.
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)

    @property
    def url(self) -> str:
        """The URL for clients on this machine."""
        host = LOOPBACK.get(self.address.host, self.address.host)
        return f"{self.scheme}://{HostPort(host, self.address.port)}"

    @property
    def note(self) -> str:
        """A note for the log if the server listens on all addresses, or ""."""
        return " (all addresses of this machine)" if self.address.host in LOOPBACK else ""


@cache
def _inherited() -> list[socket.socket]:
    """Returns the sockets that systemd has opened. Source: sd_listen_fds(3)."""
    is_ours = os.environ.get("LISTEN_PID") == str(os.getpid())
    number = int(os.environ.get("LISTEN_FDS", "0")) if is_ours else 0
    return [socket.socket(fileno=FIRST_DESCRIPTOR + each) for each in range(number)]


def _address_of(bound: socket.socket) -> HostPort:
    host, port = bound.getsockname()[:2]
    return HostPort(host, str(port))


def _is_for(bound: socket.socket, text: str) -> bool:
    address = _address_of(bound)
    return split_host_port(text) in {address, HostPort(port=address.port)}


def _inherited_for(text: str) -> socket.socket | None:
    """Returns the socket of this address that systemd has opened, or None."""
    return next((each for each in _inherited() if _is_for(each, text)), None)


def _check_inherited(addresses: Sequence[str]) -> None:
    """Raises: AddressError if systemd has opened a socket of another address."""
    for each in _inherited():
        if not any(_is_for(each, text) for text in addresses):
            known = " and ".join(addresses)
            raise AddressError(f"systemd listens on {_address_of(each)}, but not on {known}.")


def _bind_with_retry(text: str, option: str) -> socket.socket:
    deadline = time.monotonic() + CLAIM_SECONDS
    while True:
        try:
            return _bind(text)
        except OSError as error:
            if error.errno != errno.EADDRINUSE or time.monotonic() >= deadline:
                raise AddressError(_problem(text, option, error)) from error
        time.sleep(POLL_SECONDS)


def _bind(text: str) -> socket.socket:
    wanted = split_host_port(text)
    found = socket.getaddrinfo(
        wanted.host or "0.0.0.0",  # noqa: S104 - an empty host means all addresses, as in Go
        int(wanted.port),
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
    if int(wanted.port):
        return bound
    # A socket keeps its port while it rejects connections only if it was bound to this port.
    chosen = _address_of(bound)
    bound.close()
    return _bind(str(chosen))


def _problem(text: str, option: str, error: OSError) -> str:
    advice = {
        errno.EADDRINUSE: "another program listens there, or uses the port for a connection. "
        f"Stop that program, or choose another address with {option}",
        errno.EADDRNOTAVAIL: "the address does not belong to this machine",
        errno.EACCES: "this user does not have permission to use the port",
    }.get(error.errno or 0, error.strerror)
    return f"Cannot listen on {text}: {advice}."


def claim_all(options: Any) -> list[Claim]:
    """Reserves the configured addresses: for HTTP, for HTTPS, or for both.

    Raises: AddressError if the server cannot listen on an address.
    """
    own = options["CODERAPI_HTTP_ADDRESS"]
    http, option = own or options["http_address"], "--http-address or CODER_HTTP_ADDRESS"
    tls, metrics = str(options["tls.address"]), str(options["prometheus.address"])
    used = [http, tls if options["tls.enable"] else "", metrics]
    _check_inherited([text for text in used if text])
    claims = [Claim(http, option="CODERAPI_HTTP_ADDRESS" if own else option)] if http else []
    if options["tls.enable"]:
        option = "--tls-address or CODER_TLS_ADDRESS"
        claims.append(Claim(tls, option=option, scheme="https"))
    return claims
