"""Identifies the caller of a request by its session token. Does not check permissions."""

from __future__ import annotations

import time
from datetime import datetime
from functools import cache, lru_cache
from http import HTTPStatus

from django.urls import get_resolver
from django.utils import timezone
from django.utils.http import http_date

from kernel.http import is_api_path
from kernel.http.asking import Asking, run
from kernel.http.call import Call
from kernel.http.errors import APIError
from kernel.http.identity import PresentedToken
from kernel.http.results import (
    ANONYMOUS,
    Caller,
    Results,
)
from kernel.http.steps.hosts import client_of
from kernel.http.steps.rate_limit import WINDOW_SECONDS, limit_of, shared_counter
from kernel.http.views.base import PublicAPIView, view_classes
from kernel.http.views.handlers import to_api_error
from kernel.settings import settings
from tokens import token_format
from tokens.lifetimes import expires_soon
from tokens.verification import identities, refusals
from tokens.verification.authentication import has_foreign_cookie, require_same_origin
from tokens.verification.batches import Wanted
from tokens.verification.extraction import presented_token
from users.permissions import KeyIdentity

# After this number of rejected tokens in a minute, a client can look up only one unknown token at a
# time.
MAX_REFUSED = 300
USE_LOGIN_PAGE = f"Sign in on the page {settings.PAGES_PATH}login, or from a program."


def attach(results: Results) -> None:
    """Identifies the caller of a page, whose responses do not tell when the key expires."""
    found = identify(results.call, results.address)
    caller = found if isinstance(found, Caller) else run(found)
    results.caller = caller._replace(key_expires="")


def caller_of_api(call: Call, found: Results) -> Caller | Asking[Caller]:
    """Returns the caller of the API. This is a step of a request. Pages identify it later.

    For reports, the cookie counts only if a page of this service sent them. Any other page could
    make a browser report as its user. Raises: APIError 400 for a sign-in from another site.
    """
    if call.path in settings.SIGN_IN_PATHS:
        require_same_origin(call, advice=USE_LOGIN_PAGE)
    if not is_api_path(call.path) or call.path in public_paths(settings.ROOT_URLCONF):
        return ANONYMOUS
    if call.path == settings.CSP_REPORTS_PATH and has_foreign_cookie(call):
        return ANONYMOUS
    return identify(call, found.address)


def identify(call: Call, address: str) -> Caller | Asking[Caller]:
    """Returns the caller by the session token. If it is not cached, returns a generator for it."""
    presented = presented_token(call)
    if presented is None:
        return Caller(refusal=refusals.missing())
    now = timezone.now()
    try:
        identity = identities.recall(presented.token, now=now)
    except APIError as refusal:
        return Caller(refusal=refusal, presented=presented)
    if identity is not None:
        return Caller(identity, None, presented, key_expires(identity, now=now))
    parts = token_format.split(presented.token)
    if parts is None:
        return Caller(refusal=refusals.malformed(), presented=presented)
    return _looked_up(presented, Wanted(parts, now, address, _turn(address)))


def _looked_up(presented: PresentedToken, wanted: Wanted) -> Asking[Caller]:
    """Returns the caller of a token that is not cached. A rejected token counts for the address."""
    try:
        identity = yield from identities.verify(wanted)
    except Exception as error:
        refusal = to_api_error(error)
        if refusal is None:
            raise
        # Another service that does not respond is not the caller's fault.
        if refusal.status == HTTPStatus.UNAUTHORIZED:
            shared_counter().add(_refused_of(wanted.address), int(time.time()) // WINDOW_SECONDS)
        return Caller(refusal=refusal, presented=presented)
    return Caller(identity, None, presented, key_expires(identity, now=wanted.now))


def _turn(address: str) -> str:
    """Returns the turn of a client with many rejected tokens. Otherwise "".

    Such a client looks up one token at a time. Other people may share its address. Their valid
    tokens still work, because a cached token needs no lookup, and other tokens wait up to a second.
    """
    bucket = _refused_of(address)
    count = shared_counter().add(bucket, int(time.time()) // WINDOW_SECONDS, 0)
    return bucket if count >= limit_of(client_of(address), MAX_REFUSED) else ""


def _refused_of(address: str) -> str:
    """Returns the bucket that counts the rejected tokens of a client."""
    return f"refused:{client_of(address)}"


@cache
def public_paths(urlconf: str) -> frozenset[str]:
    """Returns the paths of public routes. Session tokens are ignored on these paths."""
    routes = view_classes(get_resolver(urlconf))
    return frozenset(path for path, view in routes if issubclass(view, PublicAPIView))


def key_expires(identity: KeyIdentity, *, now: datetime) -> str:
    """Returns the expiry time of the caller's key as an HTTP date, or "" if it is not soon."""
    is_soon = expires_soon(identity.expires_at, identity.lifetime_ns, now=now)
    return _http_date(identity.expires_at) if is_soon else ""


@lru_cache(maxsize=1024)
def _http_date(moment: datetime) -> str:
    return http_date(moment.timestamp())
