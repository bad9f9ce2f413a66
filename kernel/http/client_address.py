"""The address that a request came from, behind as many trusted proxies as there are."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any

from django.conf import settings

type Address = IPv4Address | IPv6Address


def address_of(environ: Mapping[str, Any]) -> str:
    """Returns the client's address, from a request's WSGI environment (Django's `META`)."""
    peer: str = environ.get("REMOTE_ADDR", "")
    if not settings.TRUSTED_PROXY_HEADERS:
        return peer
    return client_address(
        peer,
        lambda name: environ.get(f"HTTP_{name.upper().replace('-', '_')}", ""),
        trusted_headers=settings.TRUSTED_PROXY_HEADERS,
        trusted_origins=settings.TRUSTED_PROXY_ORIGINS,
    )


def client_address(
    peer: str,
    header: Callable[[str], str],
    *,
    trusted_headers: Sequence[str],
    trusted_origins: Sequence[str],
) -> str:
    """Returns the peer's address, or the one that a trusted proxy forwards for.

    A forwarded list is read from its right end, past every trusted proxy, so that what a client
    wrote into it is never believed.
    """
    if not trusted_headers or not is_trusted(peer, trusted_origins):
        return peer
    for name in trusted_headers:
        found = _first_untrusted(header(name), trusted_origins)
        if found:
            return found
    return peer


def _first_untrusted(value: str, trusted_origins: Sequence[str]) -> str | None:
    for hop in reversed(value.split(",")):
        address = parse_address(hop)
        if address is None:
            return None
        if not is_trusted(str(address), trusted_origins):
            return str(address)
    return None


def parse_address(text: str) -> Address | None:
    """Parses an address; an IPv4 one in IPv6's form gets its own. Returns None if it is none.

    A zone (`fe80::1%eth0`) means something on one machine only, and to PostgreSQL nothing.
    """
    try:
        address = ip_address(text.strip().strip("[]").partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def is_trusted(peer: str, trusted_origins: Sequence[str]) -> bool:
    """Tells whether the peer is a proxy whose word is taken."""
    address = parse_address(peer)
    if address is None:
        return False
    return any(address in network for network in _networks(tuple(trusted_origins)))


@lru_cache(maxsize=8)
def _networks(origins: tuple[str, ...]) -> tuple[IPv4Network | IPv6Network, ...]:
    return tuple(ip_network(origin, strict=False) for origin in origins)


@lru_cache(maxsize=1024)
def rate_limit_bucket(address: str) -> str:
    """Returns what shares one limit: an IPv4 address, or an IPv6 /64, which is one customer's."""
    parsed = parse_address(address)
    if isinstance(parsed, IPv6Address):
        return str(IPv6Network((parsed, 64), strict=False))
    return str(parsed or address)
