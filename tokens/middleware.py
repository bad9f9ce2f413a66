"""Finds the session token of a request and attaches whose it is. Decides nothing else."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import lru_cache
from typing import cast

from django.db import DatabaseError
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.http import http_date

from kernel.http import API_PREFIX
from kernel.http.client_address import rate_limit_bucket
from kernel.http.errors import APIError
from kernel.http.handlers import to_api_error
from kernel.http.identity import IdentifiedRequest, Identity, Presented
from kernel.http.rate_limit import WINDOW_SECONDS, shared_counter
from tokens import refusals, verification
from tokens.extraction import COOKIE, HEADER, first_cookie, presented_token
from users.permissions import KeyIdentity

# An address that had so many tokens refused in a minute is not listened to until it ends.
REFUSED_LIMIT = 300
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
        if request.path.startswith(API_PREFIX):
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
    if presented is None:
        raise refusals.missing()
    now = timezone.now()
    remembered = verification.recall(presented.token, now=now)
    if remembered is not None:
        return remembered
    return _verify_counted(presented.token, address)


def _verify_counted(token: str, address: str) -> Identity:
    """Verifies a token, and counts the refused ones by address.

    Raises: APIError 429 once an address has had too many refused, before the database is asked.
    """
    bucket, now = f"refused:{rate_limit_bucket(address)}", time.time()
    minute = int(now) // WINDOW_SECONDS
    if shared_counter().add(bucket, minute, 0) >= REFUSED_LIMIT:
        raise refusals.too_many_refused((minute + 1) * WINDOW_SECONDS - int(now))
    try:
        return verification.verify(token, now=timezone.now(), address=address)
    except APIError:
        shared_counter().add(bucket, minute)
        raise


def sunset(identity: Identity | None, *, now: datetime) -> str:
    """Returns when the caller's key ends, as an HTTP date, if within a week; else ""."""
    if not isinstance(identity, KeyIdentity) or identity.expires_at - now >= SUNSET_AHEAD:
        return ""
    return _http_date(identity.expires_at)


@lru_cache(maxsize=1024)
def _http_date(moment: datetime) -> str:
    return http_date(moment.timestamp())
