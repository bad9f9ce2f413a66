"""Sends requests to other servers. Each outgoing request of the service passes through `send`.

* One deadline covers name resolution, connecting, redirects and the response body. The timeouts of
  urllib3 do not stop a slow name resolution, or a server that sends its headers byte by byte. So
  the request runs in another thread, and the caller stops waiting at the deadline.
* The response body has a maximum size.
* A URL that a user has entered must not reach the internal network, for example the metadata
  service of a cloud. So `send` resolves the name once, checks the address, and connects to this
  same address. A second resolution could return another address (DNS rebinding).
* A redirect is followed only on the same host, and only for GET.
* Errors contain only the scheme and the host of the URL, because the other parts may be secret. For
  example, the path of a webhook of Slack is a secret.
"""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from queue import Empty, SimpleQueue
from urllib.parse import SplitResult, unquote, urljoin, urlsplit

import urllib3

MAX_REDIRECTS = 3
MAX_BODY_BYTES = 1024 * 1024
PORTS = {"http": 80, "https": 443}
# With NAT64, an IPv6 address of this network contains an IPv4 address in its last 32 bits.
_NAT64 = IPv6Network("64:ff9b::/96")

type Address = IPv4Address | IPv6Address
type Network = IPv4Network | IPv6Network

# Disable the debug messages of urllib3, because they contain the whole URL.
logging.getLogger("urllib3.connectionpool").setLevel(logging.INFO)


class OutgoingError(Exception):
    """The request failed. A message from `send` contains the redacted URL and the reason."""


@dataclass(frozen=True, slots=True)
class Reply:
    status: int
    etag: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A request to another server.

    `networks` are the internal networks that the request may reach. If it is None, the request may
    reach any address: use this only for URLs from the settings. A response body of more than
    `max_bytes` is cut.
    """

    url: str
    headers: Mapping[str, str]
    method: str = "GET"
    body: bytes | None = None
    networks: Sequence[Network] | None = ()
    max_bytes: int = MAX_BODY_BYTES
    max_redirects: int = MAX_REDIRECTS


def send(outgoing: Outgoing, *, seconds: float) -> Reply:
    """Sends the request and returns the response, whatever its status is.

    Raises: OutgoingError if the server does not respond in time, cannot be reached, may not be
    reached, or redirects to another host or too often.
    """
    replies: SimpleQueue[Reply | str] = SimpleQueue()
    deadline = time.monotonic() + seconds

    def run() -> None:
        try:
            replies.put(_send(outgoing, deadline))
        except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            replies.put(f"cannot be reached: {type(error).__name__}")
        except OutgoingError as error:
            replies.put(str(error))

    threading.Thread(target=run, name="outgoing", daemon=True).start()
    try:
        reply = replies.get(timeout=seconds)
    except Empty:
        reply = ""
    if isinstance(reply, str):
        is_late = time.monotonic() >= deadline
        reason = f"did not respond within {seconds:g} seconds" if is_late else reply
        raise OutgoingError(f"{redacted(outgoing.url)} {reason}")
    return reply


def redacted(url: str) -> str:
    """Returns the scheme, the host and the port of the URL."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def is_internal(address: Address) -> bool:
    """Returns whether the address is not on the public internet.

    An IPv6 address that contains an IPv4 address is judged by the IPv4 address.
    """
    if isinstance(address, IPv6Address):
        if address in _NAT64:
            return is_internal(IPv4Address(int(address) & 0xFFFFFFFF))
        inner = address.ipv4_mapped or address.sixtofour
        if inner is not None:
            return is_internal(inner)
    return not address.is_global or address.is_multicast


def _send(outgoing: Outgoing, deadline: float) -> Reply:
    server = _server(urlsplit(outgoing.url))
    addresses = _allowed_addresses(server, outgoing.networks)
    for address in addresses[:-1]:
        try:
            return _exchange(outgoing, server, address, deadline)
        except urllib3.exceptions.NewConnectionError:
            continue
    return _exchange(outgoing, server, addresses[-1], deadline)


def _server(parts: SplitResult) -> tuple[str, str, int]:
    """Returns the scheme, host and port. Raises: OutgoingError or ValueError for other URLs."""
    if parts.scheme not in PORTS or not parts.hostname:
        raise OutgoingError("is not an http or https URL")
    return parts.scheme, parts.hostname, parts.port or PORTS[parts.scheme]


def _allowed_addresses(
    server: tuple[str, str, int], networks: Sequence[Network] | None
) -> list[Address]:
    """Resolves the server's name. Raises: OutgoingError if all addresses are forbidden."""
    _, host, port = server
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = [ip_address(str(target[0]).partition("%")[0]) for *_, target in found]
    if networks is None:
        return addresses
    allowed = [each for each in addresses if not is_internal(each) or _is_in(each, networks)]
    if not allowed:
        raise OutgoingError("has an internal address, which is not allowed")
    return allowed


def _is_in(address: Address, networks: Iterable[Network]) -> bool:
    return any(address in network for network in networks)


def _exchange(
    outgoing: Outgoing, server: tuple[str, str, int], address: Address, deadline: float
) -> Reply:
    """Sends the request to this address, and follows redirects on the same host."""
    url, redirects = outgoing.url, outgoing.max_redirects if outgoing.method == "GET" else 0
    userinfo, _, host = urlsplit(url).netloc.rpartition("@")
    # urllib3 ignores the credentials in a URL.
    login = urllib3.make_headers(basic_auth=unquote(userinfo)) if userinfo else {}
    headers = {**outgoing.headers, **login, "Host": host}
    with _pool(server, address) as pool:
        for _ in range(1 + redirects):
            answer = pool.urlopen(
                outgoing.method,
                _target(urlsplit(url)),
                body=outgoing.body,
                headers=headers,
                timeout=max(deadline - time.monotonic(), 0.001),
                redirect=False,
                retries=False,
                preload_content=False,
            )
            location = answer.get_redirect_location() if redirects else None
            if not location:
                etag = answer.headers.get("ETag", "")[:256]
                return Reply(answer.status, etag, _body(answer, outgoing.max_bytes, deadline))
            answer.close()
            url = urljoin(url, location)
            if _server(urlsplit(url)) != server:
                raise OutgoingError("redirects to another host")
    raise OutgoingError(f"redirects more than {redirects} times")


def _pool(server: tuple[str, str, int], address: Address) -> urllib3.HTTPConnectionPool:
    """Returns a pool for the address. The certificate must be valid for the server's name."""
    scheme, host, port = server
    if scheme == "http":
        return urllib3.HTTPConnectionPool(str(address), port)
    return urllib3.HTTPSConnectionPool(
        str(address), port, server_hostname=host, assert_hostname=host
    )


def _target(parts: SplitResult) -> str:
    return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


def _body(answer: urllib3.BaseHTTPResponse, limit: int, deadline: float) -> bytes:
    body = bytearray()
    while len(body) < limit and (part := answer.read1(limit - len(body))):
        body += part
        if time.monotonic() > deadline:
            raise TimeoutError
    return bytes(body)
