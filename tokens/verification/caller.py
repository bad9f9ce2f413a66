"""Identifies the caller of a request by its session token. Does not check permissions.

Tokens that are not cached are looked up among our own keys together (`batches`, `keys`). If no key
has the token's id, the token may belong to another service (`providers`).
"""

from __future__ import annotations

import time
from concurrent.futures import Future
from dataclasses import replace
from datetime import datetime
from functools import lru_cache
from http import HTTPStatus

from django.utils import timezone
from django.utils.http import http_date

from kernel.db.connections import DatabaseBusyError
from kernel.futures import settle
from kernel.http import is_api_path
from kernel.http.asking import Asking, run
from kernel.http.call import Call
from kernel.http.errors import APIError
from kernel.http.identity import PresentedToken
from kernel.http.results import (
    ANONYMOUS,
    Ask,
    Caller,
    Results,
)
from kernel.http.routes import views_by_path
from kernel.http.steps.hosts import client_of
from kernel.http.steps.rate_limit import WINDOW_SECONDS, limit_of, shared_counter
from kernel.http.views.base import PublicAPIView
from kernel.http.views.handlers import to_api_error
from kernel.limiter import LimitReachedError
from kernel.settings import settings
from tokens import token_format
from tokens.lifetimes import expires_soon
from tokens.verification import batches, providers, refusals
from tokens.verification.batches import Found, Wanted
from tokens.verification.extraction import (
    has_foreign_cookie,
    presented_token,
    require_same_origin,
)
from tokens.verification.keys import FOREIGN, LOOKUPS, MEMORY, fingerprint_of
from tokens.verification.providers import IdentityProvider
from users.permissions import KeyIdentity

# After this number of rejected tokens in a minute, a client can look up only one unknown token at a
# time.
MAX_REFUSED = 300
# The time that a request with a turn waits.
TURN_SECONDS = 1.0
TURN_FULL = "Too many session tokens from this address are invalid. Try again soon."
USE_LOGIN_PAGE = f"Sign in on the page {settings.PAGES_PATH}login, or from a program."


def attach(results: Results) -> None:
    """Identifies the caller of a page. Its response has no header with the key's expiry time."""
    found = identify(presented_token(results.call), results.address)
    caller = found if isinstance(found, Caller) else run(found)
    results.caller = caller._replace(key_expires="")


def caller_of_api(call: Call, found: Results) -> Caller | Asking[Caller]:
    """Returns the caller of the API. This is a step of a request. Pages identify it later.

    For reports, the cookie counts only if a page of this service sent them. Any other page could
    make a browser report as its user. Raises: APIError 400 for a sign-in from another site.
    """
    if call.path in settings.SIGN_IN_PATHS:
        require_same_origin(call, advice=USE_LOGIN_PAGE)
    view = views_by_path(settings.ROOT_URLCONF).get(call.path, object)
    # Public routes ignore session tokens.
    if not is_api_path(call.path) or issubclass(view, PublicAPIView):
        return ANONYMOUS
    presented = presented_token(call)
    if call.path == settings.CSP_REPORTS_PATH and has_foreign_cookie(call, presented):
        return ANONYMOUS
    return identify(presented, found.address)


def identify(presented: PresentedToken | None, address: str) -> Caller | Asking[Caller]:
    """Returns the caller by the session token. If it is not cached, returns a coroutine for it."""
    if presented is None:
        return Caller(refusal=refusals.missing())
    now, fingerprint = timezone.now(), fingerprint_of(presented.token)
    if found := recall(fingerprint, now=now):
        return _caller(presented, found, now)
    parts = token_format.split(presented.token)
    if parts is None:
        return Caller(refusal=refusals.malformed(), presented=presented)
    turn = _turn(client_of(address))
    return _looked_up(presented, Wanted(parts, fingerprint, now, address, turn))


def recall(fingerprint: bytes, *, now: datetime) -> Found | None:
    """Returns the cached result for a token, or None. Never runs a query."""
    found = MEMORY.get(fingerprint)
    if found is FOREIGN and (other := providers.other()):
        found = other.recall(fingerprint)
    has_expired = isinstance(found, KeyIdentity) and found.expires_at <= now
    return None if has_expired else found


def _caller(presented: PresentedToken, found: Found, now: datetime) -> Caller:
    if isinstance(found, APIError):
        # A copy, because a raised exception keeps references to all stack frames.
        return Caller(refusal=replace(found), presented=presented)
    if found.expires_at <= now:
        # The key has expired since it was read.
        return Caller(refusal=refusals.unknown(), presented=presented)
    is_soon = expires_soon(found.expires_at, found.lifetime_ns, now=now)
    return Caller(found, None, presented, _http_date(found.expires_at) if is_soon else "")


@lru_cache(maxsize=1024)
def _http_date(moment: datetime) -> str:
    return http_date(moment.timestamp())


# --- Tokens that are not cached -------------------------------------------------------------------


async def _looked_up(presented: PresentedToken, wanted: Wanted) -> Caller:
    """Returns the caller of a token that is not cached. A rejected token counts for the address."""
    try:
        found = await _verify(wanted)
    except Exception as error:
        refusal = to_api_error(error)
        if refusal is None:
            raise
        found = refusal
    # Another service that does not respond is not the caller's fault.
    if isinstance(found, APIError) and found.status == HTTPStatus.UNAUTHORIZED:
        _count_rejected(client_of(wanted.address), 1)
    return _caller(presented, found, wanted.now)


def _turn(client: str) -> str:
    """Returns the name of a client with many rejected tokens. Otherwise "".

    Such a client looks up one token at a time. Other people may share its address. Their valid
    tokens still work, because a cached token needs no lookup, and other tokens wait up to a second.
    """
    return client if _count_rejected(client, 0) >= limit_of(client, MAX_REFUSED) else ""


def _count_rejected(client: str, amount: int) -> int:
    """Adds to the rejected tokens of a client in this minute, and returns their number."""
    return shared_counter().add(f"refused:{client}", int(time.time()) // WINDOW_SECONDS, amount)


async def _verify(wanted: Wanted) -> Found:
    """Looks the token up among our own keys, together with others, or asks the other service.

    Updates the key's `last_used` once an hour. All tokens with the same `turn` together have one
    lookup at a time. Raises: DatabaseBusyError, APIError 503 if the other service does not respond,
    or LimitReachedError for a token with a turn, if the wait takes too long.
    """
    other = providers.other()
    try:
        if other is None:
            return await _own(wanted, batches.LOOK_UP_SECONDS)
        return await _own_or_other(wanted, other)
    except TimeoutError:
        # The lookup goes on if it has begun.
        wanted.found.cancel()
        if wanted.turn:
            raise LimitReachedError(TURN_FULL, is_per_caller=True) from None
        if other is None:
            raise DatabaseBusyError(batches.BUSY) from None
        raise other.too_slow() from None


async def _own(wanted: Wanted, seconds: float) -> Found:
    """Looks the token up among our own keys. Raises: TimeoutError."""
    seconds = min(seconds, TURN_SECONDS) if wanted.turn else seconds
    return await Ask(
        lambda: LOOKUPS.ask(wanted, here=True).result(seconds), lambda: LOOKUPS.ask(wanted), seconds
    )


async def _own_or_other(wanted: Wanted, other: IdentityProvider) -> Found:
    """Asks the other service about a token that is not ours. Raises: TimeoutError.

    If the wait takes too long, the known answer about the token is used, if there is one.
    """
    begun, known = time.monotonic(), other.known(wanted.fingerprint)
    seconds = other.known_seconds if known else TURN_SECONDS if wanted.turn else other.new_seconds
    try:
        found: Found | None = MEMORY.get(wanted.fingerprint)
        if found is not FOREIGN:
            found = await _own(wanted, seconds)
        if found is not FOREIGN:
            return found
        asked, since = providers.ask(other, wanted)
        until = (since if known else begun) + seconds
        mine = Future[Found]()
        asked.add_done_callback(lambda shared: settle(mine, shared.result))
        found = await Ask(begin=lambda: mine, seconds=until - time.monotonic())
    except TimeoutError:
        if known is None:
            raise
        return known
    return found
