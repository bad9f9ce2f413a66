"""Hosts: which names this service answers for, and when a request is redirected to the access URL.

The functions take the WSGI environment, which is Django's `request.META`.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.http.request import split_domain_port, validate_host
from django.utils.encoding import escape_uri_path, iri_to_uri

from kernel.http.client_address import is_trusted, parse_address
from kernel.http.errors import APIError

MAX_HOST = 259  # RFC 1035, 2.3.4: 253 characters, and a port.
DEFAULT_PORTS = {"http": "80", "https": "443"}


def check(environ: Mapping[str, Any], path: str) -> str | None:
    """Returns the URL to which the request is redirected, or None.

    Health checks may use any host. Raises: APIError 400 for a host that this service does not
    answer for, or that is not a host.
    """
    if path in settings.HEALTH_PATHS:
        return None
    named = environ.get("HTTP_HOST") or environ.get("SERVER_NAME", "")
    if settings.REDIRECT_TO_ACCESS_URL:
        if not is_allowed(named, ("*",)):
            raise _refused()
        if target := access_redirect(environ, path):
            return target
    if not is_allowed(named, tuple(settings.ALLOWED_HOSTS)):
        raise _refused()
    return None


def _refused() -> APIError:
    return APIError(
        400,
        "The Host header names a host that this service does not answer for.",
        detail="CODERAPI_ALLOWED_HOSTS or CODER_ACCESS_URL decides which hosts it answers for.",
    )


def is_allowed(host: str, allowed: tuple[str, ...]) -> bool:
    """Returns whether the host is well-formed, and one of the allowed ones (`*` allows all)."""
    return len(host) <= MAX_HOST and _is_allowed(host, allowed)


@lru_cache(maxsize=256)
def _is_allowed(host: str, allowed: tuple[str, ...]) -> bool:
    domain, _ = split_domain_port(host)
    return bool(domain) and validate_host(domain, allowed)


def access_redirect(environ: Mapping[str, Any], path: str) -> str | None:
    """Returns the same path at the access URL if the request came by another way, else None."""
    proxied = is_trusted(environ.get("REMOTE_ADDR", ""), settings.TRUSTED_PROXY_ORIGINS)
    forwarded_host = environ.get("HTTP_X_FORWARDED_HOST", "") if proxied else ""
    forwarded_scheme = environ.get("HTTP_X_FORWARDED_PROTO", "") if proxied else ""
    if forwarded_host and not is_allowed(forwarded_host, ("*",)):
        raise _refused()
    query = environ.get("QUERY_STRING", "")
    return redirect_target(
        forwarded_host or environ.get("HTTP_HOST", ""),
        escape_uri_path(path) + (f"?{iri_to_uri(query)}" if query else ""),
        access_url=settings.ACCESS_URL,
        wildcard=settings.WILDCARD_ACCESS_URL,
        is_secure=(
            not (settings.TLS_ENABLE and settings.ACCESS_URL.startswith("https:"))
            or "https" in {environ["wsgi.url_scheme"], forwarded_scheme}
        ),
    )


def redirect_target(
    host: str, path: str, *, access_url: str, wildcard: str, is_secure: bool
) -> str | None:
    """Returns the URL to which a request to `host` is redirected, or None.

    `is_secure` is false only for plain HTTP where HTTPS is served here. A loopback name is not
    redirected, nor is the host of an application that the wildcard covers.
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
