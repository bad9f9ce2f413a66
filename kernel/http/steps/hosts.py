"""Validates the Host header, redirects to the access URL, and finds a client's scheme and address.

`check_host` is a step of a request (`kernel.http.exchange`).
"""

from __future__ import annotations

from functools import lru_cache
from http import HTTPStatus
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from urllib.parse import SplitResult, urlsplit

from django.http.request import split_domain_port, validate_host
from django.utils.encoding import escape_uri_path, iri_to_uri

from kernel.http.call import Call
from kernel.http.errors import APIError
from kernel.http.responses import Answer
from kernel.settings import settings

type Address = IPv4Address | IPv6Address

MAX_HOST = 259  # A name of 253 characters (RFC 1035, 2.3.4), and a port.
DEFAULT_PORTS = {"http": "80", "https": "443"}
# RFC 1918.
PRIVATE_NETWORKS = tuple(map(IPv4Network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")))


def check_host(call: Call, _: object) -> Answer | None:
    """Validates the Host header, and redirects to the access URL if that is configured.

    Health checks may use any host. Raises: APIError 400 if the host is malformed or not allowed.
    """
    if call.path in settings.HEALTH_PATHS:
        return None
    host = call.headers.get("host") or call.server
    if settings.REDIRECT_TO_ACCESS_URL and is_allowed(host, ("*",)):
        target = _access_redirect(call)
        if target is not None:
            # 307 keeps the method and the body.
            return Answer.whole(HTTPStatus.TEMPORARY_REDIRECT, {"Location": target})
    if not is_allowed(host, tuple(settings.ALLOWED_HOSTS)):
        raise _refused()
    return None


def _refused() -> APIError:
    detail = "An operator can allow it with CODERAPI_ALLOWED_HOSTS or CODER_ACCESS_URL."
    return APIError(400, "The host in the Host header is not allowed.", detail)


def is_allowed(host: str, allowed: tuple[str, ...]) -> bool:
    """Returns whether the host is well-formed and allowed. `*` allows every host."""
    return len(host) <= MAX_HOST and _matches(host, allowed)


@lru_cache(maxsize=256)
def _matches(host: str, allowed: tuple[str, ...]) -> bool:
    domain, _ = split_domain_port(host)
    # For a host in brackets, Django checks only its characters. So the IPv6 address is parsed here.
    is_host = bool(domain) and (domain[0] != "[" or parse_address(domain) is not None)
    return is_host and validate_host(domain, allowed)


def _access_redirect(call: Call) -> str | None:
    """Returns the URL of the same path at the access URL, or None for no redirect.

    Loopback hosts are not redirected. Hosts that match the wildcard belong to applications, and are
    not redirected either.
    """
    forwarded_host = _forwarded("host", call)
    if forwarded_host and not is_allowed(forwarded_host, ("*",)):
        raise _refused()
    host, access = forwarded_host or call.headers.get("host", ""), urlsplit(settings.ACCESS_URL)
    if is_local(host) or _is_of_wildcard(host, settings.WILDCARD_ACCESS_URL):
        return None
    needs_https = settings.TLS_ENABLE and access.scheme == "https"
    is_secure = "https" in {call.scheme, _forwarded_scheme(call)}
    if _is_same(host, access) and (is_secure or not needs_https):
        return None
    target = escape_uri_path(call.path) + (f"?{iri_to_uri(call.query)}" if call.query else "")
    return f"{access.scheme}://{access.netloc}{target}"


def scheme_of(call: Call) -> str:
    """Returns the scheme that the client used: ours, or the one that a trusted proxy forwards.

    A proxy may terminate TLS without forwarding the scheme. So if the access URL has https, each
    request with its host counts as https.
    """
    forwarded, access = _forwarded_scheme(call), urlsplit(settings.ACCESS_URL)
    if forwarded in DEFAULT_PORTS:
        return forwarded
    is_https = access.scheme == "https" and _is_same(call.headers.get("host", ""), access)
    return "https" if is_https else call.scheme


def _forwarded_scheme(call: Call) -> str:
    # Each proxy may append its own scheme. The first one is that of the client.
    return _forwarded("proto", call).partition(",")[0].strip().lower()


def _forwarded(name: str, call: Call) -> str:
    """Returns the value of an X-Forwarded header of a trusted proxy, or ""."""
    value = call.headers.get(f"x-forwarded-{name}", "")
    return value if value and is_trusted(call.peer) else ""


def _is_same(host: str, access: SplitResult) -> bool:
    return with_port(host, access.scheme) == with_port(access.netloc, access.scheme)


def is_local(host: str) -> bool:
    name = urlsplit(f"//{host}").hostname or ""
    address = parse_address(name)
    if address is not None:
        return address.is_loopback
    return name == "localhost" or name.endswith(".localhost")


def with_port(host: str, scheme: str) -> str:
    """Returns the host in lower case, without the default port of its scheme."""
    return host.lower().removesuffix(f":{DEFAULT_PORTS.get(scheme, '')}")


def _is_of_wildcard(host: str, wildcard: str) -> bool:
    """Returns whether `*.apps.example.com` or `*-apps.example.com` covers the host."""
    _, star, suffix = wildcard.partition("*")
    first, dot, rest = host.lower().partition(".")
    if not star or not dot:
        return False
    ending, _, domain = suffix.lower().partition(".")
    return rest == domain and first.endswith(ending) and len(first) > len(ending)


# --- The address of a client ------------------------------------------------------------------


def address_of(call: Call) -> str:
    """Returns the client's IP address: the peer's, or the one that a trusted proxy forwards.

    A list of forwarded addresses is read from right to left. The first address that is not a
    trusted proxy is the client's. The addresses to its left are ignored, because clients can forge
    them.
    """
    if settings.TRUSTED_PROXY_HEADERS and is_trusted(call.peer):
        for name in settings.TRUSTED_PROXY_HEADERS:
            if address := _first_untrusted(call.headers.get(name.lower(), "")):
                return address
    return call.peer


def _first_untrusted(value: str) -> str | None:
    for hop in reversed(value.split(",")):
        address = parse_address(hop)
        if address is None:
            return None
        if not is_trusted(str(address)):
            return str(address)
    return None


def parse_address(text: str) -> Address | None:
    """Parses an IP address, or returns None. Converts IPv4-mapped IPv6 addresses to IPv4.

    The zone of an address, such as `%eth0` in `fe80::1%eth0`, is dropped, because PostgreSQL does
    not support zones.
    """
    try:
        address = ip_address(text.strip().strip("[]").partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def is_trusted(peer: str) -> bool:
    """Returns whether the peer is a trusted proxy."""
    address = parse_address(peer)
    networks = _networks(tuple(settings.TRUSTED_PROXY_ORIGINS))
    return address is not None and any(address in network for network in networks)


@lru_cache(maxsize=8)
def _networks(origins: tuple[str, ...]) -> tuple[IPv4Network | IPv6Network, ...]:
    return tuple(ip_network(origin, strict=False) for origin in origins)


# --- Who is one client ------------------------------------------------------------------------


@lru_cache(maxsize=1024)
def client_of(address: str) -> str:
    """Returns the name of the client with this address: its IPv4 address, or its IPv6 /48 network.

    Every limit, every turn and every count of clients uses this name. A provider may assign a whole
    /48 network to one person, who then has 65,536 /64 networks.
    """
    parsed = parse_address(address)
    if isinstance(parsed, IPv6Address):
        return str(IPv6Network((parsed, 48), strict=False))
    return str(parsed or address)


@lru_cache(maxsize=1024)
def network_of(address: str) -> str:
    """Returns the IPv4 /24 network or the IPv6 /48 network of an address.

    Only clients of several networks count as several clients, because one person may have many
    addresses of a network. Each address of a private network counts as a network, because its
    operator assigns the addresses.
    """
    parsed = parse_address(address)
    if not isinstance(parsed, IPv4Address) or any(parsed in each for each in PRIVATE_NETWORKS):
        return client_of(address)
    return str(IPv4Network((parsed, 24), strict=False))
