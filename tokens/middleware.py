"""Finds the session token of a request and attaches whose it is. Decides nothing else."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import cache, lru_cache
from typing import Any, cast

from django.conf import settings
from django.db import DatabaseError
from django.http import HttpRequest, HttpResponse
from django.urls import URLResolver, get_resolver
from django.utils import timezone
from django.utils.http import http_date

from kernel.http import API_PREFIX
from kernel.http.client_address import rate_limit_bucket
from kernel.http.errors import APIError
from kernel.http.handlers import to_api_error
from kernel.http.identity import IdentifiedRequest, Identity, Presented
from kernel.http.rate_limit import WINDOW_SECONDS, shared_counter
from kernel.http.views import PublicAPIView
from tokens import refusals, token_format, verification
from tokens.extraction import COOKIE, HEADER, first_cookie, presented_token
from tokens.memory import memory
from users.permissions import KeyIdentity

# So many different tokens of an address are refused in a minute before its unknown ones must wait.
MAX_REFUSED = 300
MAX_TURN_SECONDS = 1.0
_TURNS = tuple(threading.Lock() for _ in range(64))
# RFC 8594: it tells a caller's log that its key is about to end.
SUNSET = "Sunset"
SUNSET_AHEAD = timedelta(days=7)


class SessionTokenMiddleware:
    """Attaches `identity`, or the `refusal` that a view which needs one will answer with."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        identified = cast("IdentifiedRequest", request)
        identified.identity, identified.refusal, identified.presented = None, None, None
        path = request.path
        if path.startswith(API_PREFIX) and path not in public_paths(settings.ROOT_URLCONF):
            attach(identified)
        response = self.get_response(request)
        ends = sunset(identified.identity, now=timezone.now())
        if ends:
            response.headers[SUNSET] = ends
        return response


def attach(request: IdentifiedRequest) -> None:
    presented = presented_token(
        cookies={COOKIE: first_cookie(request.META.get("HTTP_COOKIE", ""), COOKIE)},
        query=first_values(request),
        headers={
            HEADER: request.META.get("HTTP_CODER_SESSION_TOKEN", ""),
            "Authorization": request.META.get("HTTP_AUTHORIZATION", ""),
        },
    )
    request.presented = presented
    try:
        request.identity = _identify(presented, request.client_address)
    except APIError as refusal:
        request.refusal = refusal
    except DatabaseError as error:
        request.refusal = to_api_error(error)
        if request.refusal is None:
            raise


def first_values(request: HttpRequest) -> dict[str, str]:
    """Returns the query's parameters, the first of several with one name."""
    if not request.META.get("QUERY_STRING"):
        return {}
    return {name: str(values[0]) for name, values in request.GET.lists() if values}


def _identify(presented: Presented | None, address: str) -> Identity:
    """Raises: APIError 401, which counts only if the database was asked; 429 as below."""
    if presented is None:
        raise refusals.missing()
    now = timezone.now()
    remembered = verification.recall(presented.token, now=now)
    if remembered is not None:
        return remembered
    parts = token_format.split(presented.token)
    refusal = memory.refusal(presented.token) if parts else refusals.malformed()
    if refusal or not parts:
        raise refusal or refusals.malformed()
    bucket = f"refused:{rate_limit_bucket(address)}"
    with _in_turn(bucket):
        try:
            return verification.verify(parts, now=now, address=address)
        except APIError:
            shared_counter().add(bucket, _minute())
            raise


def _minute() -> int:
    return int(time.time()) // WINDOW_SECONDS


@contextmanager
def _in_turn(bucket: str) -> Iterator[None]:
    """Lets an address with many refused tokens have its unknown ones looked up one at a time.

    Its good tokens are remembered or wait their turn, so that nobody can lock out an office.
    Raises: APIError 429 after a second.
    """
    if shared_counter().add(bucket, _minute(), 0) < MAX_REFUSED:
        yield
        return
    turn = _TURNS[hash(bucket) % len(_TURNS)]
    if not turn.acquire(timeout=MAX_TURN_SECONDS):
        raise refusals.too_many_refused()
    try:
        yield
    finally:
        turn.release()


@cache
def public_paths(urlconf: str) -> frozenset[str]:
    """Returns the paths that need no token, so that none is looked for there."""
    return frozenset(_public(get_resolver(urlconf).url_patterns, "/"))


def _public(patterns: Iterable[Any], prefix: str) -> Iterator[str]:
    for pattern in patterns:
        path = f"{prefix}{pattern.pattern}"
        if isinstance(pattern, URLResolver):
            yield from _public(pattern.url_patterns, path)
        elif issubclass(getattr(pattern.callback, "cls", object), PublicAPIView):
            yield path


def sunset(identity: Identity | None, *, now: datetime) -> str:
    """Returns when the caller's key ends, as an HTTP date, if within a week; else ""."""
    if not isinstance(identity, KeyIdentity) or identity.expires_at - now >= SUNSET_AHEAD:
        return ""
    return _http_date(identity.expires_at)


@lru_cache(maxsize=1024)
def _http_date(moment: datetime) -> str:
    return http_date(moment.timestamp())
