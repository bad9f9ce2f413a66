"""Checks whether a client can choose its own address with a header such as `X_Forwarded_For`.

nginx drops headers with an underscore in their names, but other proxies pass them on. A server that
does not distinguish `_` and `-` then uses such a header instead of the header of the proxy. The
check sends an invented address through the proxy. The response contains the number of remaining
requests, which shows the address that arrived: the invented address has more remaining requests
than this host's address.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from ipaddress import IPv6Address, IPv6Network

from kernel.outgoing import Outgoing, send

# Requests count for the rate limit even without a session token.
PATH = "/api/v2/deployment/stats/history"
# A range for documentation (RFC 3849), so no client has an address in it.
INVENTED = IPv6Network("2001:db8::/32")
TRIES = 3
SECONDS = 5.0


def forgeable(url: str, names: Iterable[str]) -> list[str] | None:
    """Returns the headers with an underscore that set the address of a client.

    `url` is the URL of the proxy, and `names` are the headers that the service trusts. Returns None
    if the responses do not show it, because the service has no rate limit or it is used up. Raises:
    OutgoingError.
    """
    sent = [name.replace("-", "_") for name in names if "-" in name]
    results = {name: _is_used(url, name) for name in sent}
    return None if None in results.values() else [name for name in sent if results[name]]


def _is_used(url: str, name: str) -> bool | None:
    for _ in range(TRIES):
        _remaining(url, {})
        usual, forged = _remaining(url, {}), _remaining(url, {name: _invented_address()})
        if not usual or not forged or usual[1] < 1:
            return None
        if usual[0] == forged[0]:
            return forged[1] >= usual[1]
        # A new minute has begun, and its count starts again.
    return None


def _remaining(url: str, headers: dict[str, str]) -> tuple[str, int] | None:
    """Returns the end of the minute, and the number of remaining requests."""
    reply = send(Outgoing(url + PATH, headers, networks=None, max_redirects=0), seconds=SECONDS)
    remaining = reply.headers.get("X-RateLimit-Remaining", "")
    end = reply.headers.get("X-RateLimit-Reset", "")
    return (end, int(remaining)) if remaining.isdecimal() else None


def _invented_address() -> str:
    return str(IPv6Address(int(INVENTED[0]) + secrets.randbits(96)))
