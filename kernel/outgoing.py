"""Sends requests to other servers. Each outgoing request of the service passes through `send`.

* One deadline covers name resolution, connecting, redirects and the response body. The timeouts of
  urllib3 do not stop a slow name resolution, or a server that sends its headers byte by byte. So
  the request runs in another thread. At the deadline, the caller stops waiting, and shuts down the
  connection, so that the thread ends.
* The response body has a maximum size.
* A URL that a user has entered must not reach the internal network, for example the metadata
  service of a cloud. So `send` resolves the name once, checks the address, and connects to this
  same address. A second resolution could return another address (DNS rebinding).
* A request to the internet goes through the proxy in HTTPS_PROXY or HTTP_PROXY, except for hosts in
  NO_PROXY. The address that was checked is passed to the proxy, so the proxy resolves no other one.
* A redirect is followed only on the same host, and only for GET.
* Errors contain only the scheme and the host of the URL, because the other parts may be secret. For
  example, the path of a webhook of Slack is a secret.
"""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from queue import Empty, SimpleQueue
from urllib.parse import SplitResult, unquote, urljoin, urlsplit
from urllib.request import getproxies_environment, proxy_bypass

import urllib3
from urllib3 import HTTPHeaderDict
from urllib3.util import parse_url

from kernel.text.humanize import plural

MAX_REDIRECTS = 3
MAX_BODY_BYTES = 1024 * 1024
PORTS = {"http": 80, "https": 443}
NO_TLS = "cannot be reached over TLS. For a private certificate authority, set SSL_CERT_FILE."
# An IPv6 address of these networks contains an IPv4 address in its last 32 bits: NAT64, and the
# deprecated IPv4-compatible addresses.
_EMBEDDING = (IPv6Network("64:ff9b::/96"), IPv6Network("::/96"))
# The public IPv6 addresses. Python also calls reserved addresses outside it global.
_PUBLIC = IPv6Network("2000::/3")
# Only virtual machines in Azure reach the first address, and they get secrets from it. The network
# belongs to relays of 6to4, which is deprecated.
_SPECIAL = (IPv4Network("168.63.129.16/32"), IPv4Network("192.88.99.0/24"))

type Address = IPv4Address | IPv6Address
type Network = IPv4Network | IPv6Network

# Disable the debug messages of urllib3, because they contain the whole URL.
logging.getLogger("urllib3.connectionpool").setLevel(logging.INFO)


class OutgoingError(Exception):
    """The request failed. A message from `send` contains the redacted URL and the reason."""


@dataclass(frozen=True, slots=True)
class Reply:
    status: int
    headers: HTTPHeaderDict
    body: bytes


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A request to another server.

    `networks` are the internal networks that the request may reach. If it is None, the request may
    reach any address: use this only for URLs from the settings. A response body of more than
    `max_bytes` is cut. If `may_leave` is true, the request goes through the environment's proxy.
    """

    url: str
    headers: Mapping[str, str]
    method: str = "GET"
    body: bytes | None = None
    networks: Sequence[Network] | None = ()
    max_bytes: int = MAX_BODY_BYTES
    max_redirects: int = MAX_REDIRECTS
    may_leave: bool = False


class _Connections:
    """The connections of a request. `end` shuts them down, and each connection after that."""

    def __init__(self, seconds: float) -> None:
        # Longer than the deadline, so that the deadline ends the request.
        self.timeout = seconds + 1
        self._is_over = False
        self._sockets: list[socket.socket] = []

    def watch(self, connection: socket.socket) -> None:
        # A duplicate, because TLS replaces the socket object.
        self._sockets.append(connection.dup())
        if self._is_over:
            self.end()

    def end(self) -> None:
        self._is_over = True
        while self._sockets:
            with self._sockets.pop() as connection, suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


def send(outgoing: Outgoing, *, seconds: float) -> Reply:
    """Sends the request and returns the response, whatever its status is.

    Raises: OutgoingError if the server does not respond in time, cannot be reached, may not be
    reached, or redirects to another host or too often.
    """
    replies: SimpleQueue[Reply | str] = SimpleQueue()
    connections = _Connections(seconds)

    def run() -> None:
        try:
            replies.put(_send(outgoing, connections))
        except urllib3.exceptions.SSLError:
            replies.put(NO_TLS)
        except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            replies.put(f"cannot be reached: {_reason(error)}")
        except OutgoingError as error:
            replies.put(str(error))

    threading.Thread(target=run, name="outgoing", daemon=True).start()
    try:
        reply = replies.get(timeout=seconds)
    except Empty:
        reply = f"did not respond within {seconds:.3g} seconds"
    connections.end()
    if isinstance(reply, str):
        raise OutgoingError(f"{redacted(outgoing.url)} {reply}")
    return reply


def _reason(error: Exception) -> str:
    """Returns the reason that the system or OpenSSL gives. It contains no part of the path."""
    for each in (error, *error.args, error.__cause__):
        if text := getattr(each, "verify_message", "") or getattr(each, "strerror", ""):
            return str(text)
    return type(error).__name__


def redacted(url: str) -> str:
    """Returns the scheme, the host and the port of the URL."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "the URL"
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def is_internal(address: Address) -> bool:
    """Returns whether the address is not on the public internet.

    An IPv6 address that contains an IPv4 address is judged by the IPv4 address.
    """
    if isinstance(address, IPv6Address):
        if _is_in(address, _EMBEDDING):
            return is_internal(IPv4Address(int(address) & 0xFFFFFFFF))
        inner = address.ipv4_mapped or address.sixtofour
        if inner is not None:
            return is_internal(inner)
        return address not in _PUBLIC or not address.is_global
    return not address.is_global or address.is_multicast or _is_in(address, _SPECIAL)


def _send(outgoing: Outgoing, connections: _Connections) -> Reply:
    server = _server(urlsplit(outgoing.url))
    proxy = _proxy(server) if outgoing.may_leave else ""
    if proxy and outgoing.networks is None:
        # Often only the proxy can resolve names of the internet.
        addresses = [server[1]]
    else:
        addresses = [str(each) for each in _allowed_addresses(server, outgoing.networks)]
    for address in addresses[:-1]:
        with suppress(urllib3.exceptions.NewConnectionError):
            return _exchange(outgoing, server, address, connections, proxy=proxy)
    return _exchange(outgoing, server, addresses[-1], connections, proxy=proxy)


def _proxy(server: tuple[str, str, int]) -> str:
    """Returns the URL of the environment's proxy for this server, or ""."""
    scheme, host, port = server
    proxy = getproxies_environment().get(scheme, "")
    return "" if proxy_bypass(f"{host}:{port}") else proxy


def _server(parts: SplitResult) -> tuple[str, str, int]:
    """Returns the scheme, host and port.

    Raises: OutgoingError if the URL is not http or https, or has no host; ValueError if its port is
    invalid.
    """
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
    outgoing: Outgoing,
    server: tuple[str, str, int],
    address: str,
    connections: _Connections,
    *,
    proxy: str,
) -> Reply:
    """Sends the request to this address, and follows redirects on the same host."""
    url, redirects = outgoing.url, outgoing.max_redirects if outgoing.method == "GET" else 0
    userinfo, _, host = urlsplit(url).netloc.rpartition("@")
    # urllib3 ignores the credentials in a URL.
    login = urllib3.make_headers(basic_auth=unquote(userinfo)) if userinfo else {}
    headers = {**outgoing.headers, **login, "Host": host}
    # A proxy gets the whole URL of an http request, and only a tunnel for https.
    begin = f"http://{_bracketed(address)}:{server[2]}" if proxy and server[0] == "http" else ""
    headers |= _proxy_login(proxy) if begin else {}
    with _pool(server, address, connections, proxy=proxy) as pool:
        for _ in range(1 + redirects):
            answer = pool.urlopen(
                outgoing.method,
                f"{begin}{parse_url(url).request_uri}",
                body=outgoing.body,
                headers=headers,
                timeout=connections.timeout,
                redirect=False,
                assert_same_host=False,
                retries=False,
                preload_content=False,
            )
            location = answer.get_redirect_location() if redirects else None
            if not location:
                return Reply(answer.status, answer.headers, answer.read(outgoing.max_bytes))
            answer.close()
            url = urljoin(url, location)
            if _server(urlsplit(url)) != server:
                raise OutgoingError("redirects to another host")
    raise OutgoingError(f"redirects more than {plural(redirects, 'time')}")


def _bracketed(address: str) -> str:
    return f"[{address}]" if ":" in address else address


def _proxy_login(proxy: str) -> dict[str, str]:
    userinfo = urlsplit(proxy).netloc.rpartition("@")[0]
    return dict(urllib3.make_headers(proxy_basic_auth=unquote(userinfo))) if userinfo else {}


def _pool(
    server: tuple[str, str, int], address: str, connections: _Connections, *, proxy: str
) -> urllib3.HTTPConnectionPool:
    """Returns a pool for the address. The certificate must be valid for the server's name."""
    scheme, host, port = server
    names = {"server_hostname": host, "assert_hostname": host} if scheme == "https" else {}
    manager = urllib3.PoolManager()
    if proxy:
        manager = urllib3.ProxyManager(proxy, proxy_headers=_proxy_login(proxy))
    pool = manager.connection_from_host(address, port, scheme, pool_kwargs=names)

    class Watched(pool.ConnectionCls):  # type: ignore[misc, name-defined]
        def _new_conn(self) -> socket.socket:
            made: socket.socket = super()._new_conn()
            connections.watch(made)
            return made

    pool.ConnectionCls = Watched
    return pool
