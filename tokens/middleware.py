"""Identifies the caller of a request by its session token. Does not check permissions."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime
from functools import cache, lru_cache
from http import HTTPStatus
from typing import cast

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.urls import get_resolver
from django.utils import timezone
from django.utils.http import http_date

from kernel.http import API_PREFIX
from kernel.http.errors import APIError
from kernel.http.handlers import to_api_error
from kernel.http.hosts import rate_limit_bucket
from kernel.http.identity import IdentifiedRequest, Identity, Presented
from kernel.http.rate_limit import WINDOW_SECONDS, shared_counter
from kernel.http.views import PublicAPIView, view_classes
from tokens import refusals, token_format, verification
from tokens.extraction import presented_token
from tokens.lifetimes import expires_soon
from users.permissions import KeyIdentity

# After this number of rejected tokens in a minute, an address can look up only one unknown token at
# a time.
MAX_REFUSED = 300
# RFC 8594. A client can log this header as a warning that its key expires soon.
SUNSET = "Sunset"


class SessionTokenMiddleware:
    """Attaches the `identity` to the request, or the `refusal`: the error for a rejected token."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        identified = cast("IdentifiedRequest", request)
        identified.identity, identified.refusal, identified.presented = None, None, None
        path = request.path
        if path.startswith(API_PREFIX) and path not in public_paths(settings.ROOT_URLCONF):
            attach(identified)
        response = self.get_response(request)
        if ends := sunset(identified.identity, now=timezone.now()):
            response.headers[SUNSET] = ends
        return response


def attach(request: IdentifiedRequest) -> None:
    """Sets the request's `identity` from its session token, or `refusal` for a rejected token."""
    request.presented = presented_token(request.META)
    try:
        request.identity = identify(request.presented, request.client_address)
    except Exception as error:
        request.refusal = to_api_error(error)
        if request.refusal is None:
            raise


def identify(presented: Presented | None, address: str) -> KeyIdentity:
    """Returns the identity of a token. Counts a rejected token if a query was needed.

    Raises: APIError 401, or 503 if another service does not respond; LimitReachedError or
    DatabaseBusyError if the look-up has to wait too long.
    """
    if presented is None:
        raise refusals.missing()
    now = timezone.now()
    remembered = verification.recall(presented.token, now=now)
    return remembered or look_up(presented, address, now=now)


def look_up(presented: Presented, address: str, *, now: datetime) -> KeyIdentity:
    """Returns the identity of a token that is not cached. Raises: the errors of `identify`."""
    parts = token_format.split(presented.token)
    if parts is None:
        raise refusals.malformed()
    bucket = f"refused:{rate_limit_bucket(address)}"
    counter, minute = shared_counter(), int(time.time()) // WINDOW_SECONDS
    # An address with many rejected tokens looks up one token at a time. Other clients may share the
    # address. Their valid tokens still work, because a cached token needs no lookup, and other
    # tokens wait up to a second.
    turn = bucket if counter.add(bucket, minute, 0) >= MAX_REFUSED else ""
    try:
        return verification.verify(parts, now=now, address=address, turn=turn)
    except APIError as error:
        # Another service that does not respond is not the caller's fault.
        if error.status == HTTPStatus.UNAUTHORIZED:
            counter.add(bucket, minute)
        raise


@cache
def public_paths(urlconf: str) -> frozenset[str]:
    """Returns the paths of public routes. The middleware ignores session tokens on these paths."""
    routes = view_classes(get_resolver(urlconf))
    return frozenset(path for path, view in routes if issubclass(view, PublicAPIView))


def sunset(identity: Identity | None, *, now: datetime) -> str:
    """Returns the expiry time of the caller's key as an HTTP date, or "" if it is not soon."""
    if not isinstance(identity, KeyIdentity):
        return ""
    is_soon = expires_soon(identity.expires_at, identity.lifetime_ns, now=now)
    return _http_date(identity.expires_at) if is_soon else ""


@lru_cache(maxsize=1024)
def _http_date(moment: datetime) -> str:
    return http_date(moment.timestamp())
