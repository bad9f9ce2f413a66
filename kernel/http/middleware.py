"""The frame around every request: its id, address and wire format, and every answer's headers."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import cast
from urllib.parse import urlsplit

from django.conf import settings
from django.core.exceptions import DisallowedHost
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.request import split_domain_port, validate_host

from kernel.http import single_slashes, wire
from kernel.http.client_address import address_of, is_trusted, parse_address
from kernel.http.errors import APIError
from kernel.http.handlers import error_response
from kernel.http.headers import new_request_id, standing_headers
from kernel.http.identity import IdentifiedRequest
from kernel.telemetry import logs

MAX_HOST = 259  # RFC 1035, 2.3.4: 253 characters, and a port.
BODILESS = frozenset({204, 304})
DEFAULT_PORTS = {"http": "80", "https": "443"}


class FrameMiddleware:
    """Outermost: gives a request its id, address and wire, and an answer its headers.

    What a client sends as a request id is never taken over.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        framed = cast("IdentifiedRequest", request)
        if "//" in request.path_info:
            request.path = request.path_info = single_slashes(request.path_info)
        framed.request_id = new_request_id()
        framed.client_address = address_of(request.META)
        with logs.request_context(framed.request_id):
            response = self._answer(request)
        _measure(response)
        for name, text in standing_headers(framed.request_id).items():
            response.headers[name] = text
        return response

    def _answer(self, request: HttpRequest) -> HttpResponse:
        if settings.REDIRECT_TO_ACCESS_URL and (target := access_redirect(request)):
            return HttpResponseRedirect(target, preserve_request=True)
        try:
            check_host(request)
            # From META: the mapping of all headers is not built for the sake of one.
            chosen = wire.chosen(request.META.get("HTTP_CODER_WIRE"), default=settings.WIRE)
        except APIError as error:
            return error_response(error)
        with wire.using(chosen):
            return self.get_response(request)


def _measure(response: HttpResponse) -> None:
    """Sets the body's length, or drops the body's headers where the status has none.

    A cache would take the type and the length of a 304 for the document's (RFC 9111, 3.2).
    """
    if response.status_code in BODILESS:
        for name in ("Content-Type", "Content-Length"):
            del response.headers[name]
    elif not response.streaming and "Content-Length" not in response.headers:
        response.headers["Content-Length"] = str(len(response.content))


def access_redirect(request: HttpRequest) -> str | None:
    """Returns where the request is sent on to, or None; health is asked by any name."""
    if request.path in settings.HEALTH_PATHS:
        return None
    peer = request.META.get("REMOTE_ADDR", "")
    proxied = is_trusted(peer, settings.TRUSTED_PROXY_ORIGINS)
    forwarded = request.headers if proxied else {}
    return redirect_target(
        forwarded.get("X-Forwarded-Host") or request.headers.get("Host", ""),
        request.get_full_path(),
        access_url=settings.ACCESS_URL,
        wildcard=settings.WILDCARD_ACCESS_URL,
        is_secure=(
            not (settings.TLS_ENABLE and settings.ACCESS_URL.startswith("https:"))
            or request.is_secure()
            or forwarded.get("X-Forwarded-Proto") == "https"
        ),
    )


def check_host(request: HttpRequest) -> None:
    """Raises: APIError 400 for a Host that we do not answer for; health is asked by any name."""
    named = request.META.get("HTTP_HOST", "")
    known = _is_known_host(named, tuple(settings.ALLOWED_HOSTS))
    if known or request.path in settings.HEALTH_PATHS:
        return
    try:
        request.get_host()
    except DisallowedHost:
        raise APIError(
            400,
            "The Host header names a host that this service does not answer for.",
            detail="CODERAPI_ALLOWED_HOSTS or CODER_ACCESS_URL decides which ones it does.",
        ) from None


def _is_known_host(named: str, allowed: tuple[str, ...]) -> bool:
    """Tells whether the Host header is fine, as far as earlier ones tell."""
    return len(named) <= MAX_HOST and _is_allowed(named, allowed)


@lru_cache(maxsize=256)
def _is_allowed(named: str, allowed: tuple[str, ...]) -> bool:
    domain, _ = split_domain_port(named)
    return bool(domain) and validate_host(domain, allowed)


def redirect_target(
    host: str, path: str, *, access_url: str, wildcard: str, is_secure: bool
) -> str | None:
    """Returns the address that a request to `host` belongs to, or None where it is right.

    `is_secure` is false only for what came in the clear although HTTPS is served here. A loopback
    name, and an application's host of the wildcard, are let through.
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
    """Returns the host in lower case, without a port that its scheme has anyway."""
    return host.lower().removesuffix(f":{DEFAULT_PORTS.get(scheme, '')}")


def _is_of_wildcard(host: str, wildcard: str) -> bool:
    """Tells whether `*.apps.example.com` or `*-apps.example.com` covers the host."""
    _, star, suffix = wildcard.partition("*")
    first, dot, rest = host.lower().partition(".")
    if not star or not dot:
        return False
    ending, _, domain = suffix.lower().partition(".")
    return rest == domain and first.endswith(ending) and len(first) > len(ending)
