"""The frame around every request: its id, its wire, the headers of every answer, the rate limit."""

from __future__ import annotations

import random
import time
import uuid
from collections.abc import Callable
from functools import lru_cache
from typing import cast

from django.conf import settings
from django.core.exceptions import DisallowedHost
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.request import split_domain_port, validate_host

from kernel.http import wire
from kernel.http.client_address import client_address, is_trusted, rate_limit_bucket
from kernel.http.content_policy import REPORTS_PATH
from kernel.http.errors import APIError
from kernel.http.for_pages import API_PREFIX
from kernel.http.handlers import error_response
from kernel.http.identity import IdentifiedRequest, Identity
from kernel.http.rate_limit import Verdict, check
from kernel.http.rate_limits import shared_counter
from kernel.http.redirect import redirect_target
from kernel.telemetry import logs

type GetResponse = Callable[[HttpRequest], HttpResponse]

ANY_HOST_PATHS = frozenset({"/healthz", "/livez", "/readyz"})
STRICT_TRANSPORT_SECURITY = "Strict-Transport-Security"
LONGEST_HOST = 259  # RFC 1035, 2.3.4: 253 characters, and a port.
BODILESS = frozenset({204, 304})
BYPASS_HEADER = "HTTP_X_CODER_BYPASS_RATELIMIT"


class FrameMiddleware:
    """Outermost: gives a request its id, address and wire, and an answer its headers.

    What a client sends as a request id is never taken over.
    """

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        framed = cast("IdentifiedRequest", request)
        framed.request_id = new_request_id()
        framed.client_address = address_of(request)
        with logs.request_context(framed.request_id):
            response = self._answer(request)
        _measure(response)
        response.headers["X-Coder-Request-Id"] = framed.request_id
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["X-Coder-Build-Version"] = settings.BUILD_VERSION
        # Browsers heed it over HTTPS only, be that our own or a proxy's.
        if settings.STRICT_TRANSPORT_SECURITY:
            response.headers[STRICT_TRANSPORT_SECURITY] = settings.STRICT_TRANSPORT_SECURITY
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


# Seeded by the system's random source when a process first asks, so that no two draw the same. An
# id has to be unique and not secret; asking the system each time lets go of the interpreter's lock.
_random = random.Random()  # noqa: S311 - as said


def new_request_id() -> str:
    """A fresh UUID of version 4."""
    return str(uuid.UUID(int=_random.getrandbits(128), version=4))


def _measure(response: HttpResponse) -> None:
    """Says how long the body is, or nothing of a body where the status has none.

    A cache would take the type and the length of a 304 for the document's (RFC 9111, 3.2).
    """
    if response.status_code in BODILESS:
        for name in ("Content-Type", "Content-Length"):
            del response.headers[name]
    elif not response.streaming and "Content-Length" not in response.headers:
        response.headers["Content-Length"] = str(len(response.content))


def access_redirect(request: HttpRequest) -> str | None:
    """Where the request is sent on to; health is asked by any name."""
    if request.path in ANY_HOST_PATHS:
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
    if request.path in ANY_HOST_PATHS or _is_known_host(named, tuple(settings.ALLOWED_HOSTS)):
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
    """Whether the Host header is fine, as far as it can be told from what came before."""
    return len(named) <= LONGEST_HOST and _is_allowed(named, allowed)


@lru_cache(maxsize=256)
def _is_allowed(named: str, allowed: tuple[str, ...]) -> bool:
    domain, _ = split_domain_port(named)
    return bool(domain) and validate_host(domain, allowed)


def address_of(request: HttpRequest) -> str:
    peer: str = request.META.get("REMOTE_ADDR", "")
    trusted_headers = settings.TRUSTED_PROXY_HEADERS
    if not trusted_headers:
        return peer
    return client_address(
        peer,
        request.headers,
        trusted_headers=trusted_headers,
        trusted_origins=settings.TRUSTED_PROXY_ORIGINS,
    )


class RateLimitMiddleware:
    """Counts requests under /api/v2 by user, else by address, and refuses those over the limit.

    CSP reports are counted apart: browsers send them by the dozen, and nobody may lose access to
    the API by them, nor reports by its use.
    """

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        now = time.time()
        verdict = self._verdict(cast("IdentifiedRequest", request), now)
        if verdict is None:
            return self.get_response(request)
        response = _too_many(verdict) if verdict.refused else self.get_response(request)
        for name, value in verdict.headers(now).items():
            response.headers[name] = value
        return response

    def _verdict(self, request: IdentifiedRequest, now: float) -> Verdict | None:
        if not request.path.startswith(API_PREFIX):
            return None
        reports = request.path == REPORTS_PATH
        limit = settings.CSP_RATE_LIMIT if reports else settings.API_RATE_LIMIT
        if limit is None:
            return None
        if may_bypass(request.identity, request.META.get(BYPASS_HEADER)):
            return None
        bucket = bucket_of(request.identity, request.client_address)
        bucket = f"reports:{bucket}" if reports else bucket
        return check(shared_counter(), bucket, limit=limit, now=now)


def may_bypass(identity: Identity | None, header: str | None) -> bool:
    """Only an owner may ask to be let through; anybody else's header is ignored."""
    return header == "true" and identity is not None and identity.has_role("owner")


def bucket_of(identity: Identity | None, address: str) -> str:
    return f"user:{identity.user_id}" if identity else f"ip:{rate_limit_bucket(address)}"


def _too_many(verdict: Verdict) -> HttpResponse:
    return error_response(
        APIError(
            429,
            "Too many requests.",
            detail=f"The limit is {verdict.limit} requests a minute.",
        )
    )
