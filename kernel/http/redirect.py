"""Sending clients that came by another name to the access URL."""

from __future__ import annotations

from urllib.parse import urlsplit

from kernel.http.client_address import parse_address

DEFAULT_PORTS = {"http": "80", "https": "443"}


def redirect_target(
    host: str, path: str, *, access_url: str, wildcard: str, is_secure: bool
) -> str | None:
    """Where a request belongs that came to `host` (a Host header), or None where it is right.

    `is_secure` is false only for what came in the clear although HTTPS is served here. Who comes by
    a loopback name, and an application's host of the wildcard, is let through.
    """
    access = urlsplit(access_url)
    if is_local(host) or _is_of_wildcard(host, wildcard):
        return None
    wanted = with_port(access.netloc.rpartition("@")[2], access.scheme)
    if with_port(host, access.scheme) == wanted and is_secure:
        return None
    return f"{access.scheme}://{access.netloc.rpartition('@')[2]}{path}"


def is_local(host: str) -> bool:
    name = urlsplit(f"//{host}").hostname or ""
    address = parse_address(name)
    if address is not None:
        return address.is_loopback
    return name == "localhost" or name.endswith(".localhost")


def with_port(host: str, scheme: str) -> str:
    """The host in lower case, without a port that its scheme has anyway."""
    return host.lower().removesuffix(f":{DEFAULT_PORTS.get(scheme, '')}")


def _is_of_wildcard(host: str, wildcard: str) -> bool:
    """Whether `*.apps.example.com` or `*-apps.example.com` covers the host."""
    _, star, suffix = wildcard.partition("*")
    first, dot, rest = host.lower().partition(".")
    if not star or not dot:
        return False
    ending, _, domain = suffix.lower().partition(".")
    return rest == domain and first.endswith(ending) and len(first) > len(ending)
