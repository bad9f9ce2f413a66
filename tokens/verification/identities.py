"""Verifies session tokens: returns the identity of a token, or raises the error to reject it.

Tokens that are not cached are looked up among our own keys together (`batches`, `keys`). If no key
has the token's id, the token may belong to another service (`providers`).
"""

from __future__ import annotations

import time
from concurrent.futures import Future
from dataclasses import replace
from datetime import datetime

from kernel.db.connections import DatabaseBusyError
from kernel.futures import settle
from kernel.http.asking import Asking
from kernel.http.errors import APIError
from kernel.http.results import Ask
from kernel.limiter import LimitReachedError
from tokens.verification import batches, providers, refusals
from tokens.verification.batches import Found, Wanted
from tokens.verification.keys import FOREIGN, LOOKUPS, MEMORY, fingerprint_of
from tokens.verification.providers import IdentityProvider
from users.permissions import KeyIdentity

# The time that a request with a turn waits.
TURN_SECONDS = 1.0
TURN_FULL = "Too many session tokens from this address are invalid. Try again soon."


def recall(token: str, *, now: datetime) -> KeyIdentity | None:
    """Returns the identity of a token from the cache, or None. Never runs a query.

    Raises: APIError 401 if the cached result is that the token is rejected.
    """
    fingerprint = fingerprint_of(token)
    found = MEMORY.get(fingerprint)
    if found is FOREIGN and (other := providers.other()):
        found = other.recall(fingerprint)
    return _checked(found, now)


def is_ours(token: str) -> bool:
    """Returns whether a verified token is one of our own keys, and not of another service."""
    return MEMORY.get(fingerprint_of(token)) is not FOREIGN


def verify(wanted: Wanted) -> Asking[KeyIdentity]:
    """Returns the identity of a token that is not cached.

    Updates the key's `last_used` once an hour. All tokens with the same `turn` together have one
    lookup at a time. Raises: APIError 401, with the reason as its detail, or 503 if the other
    service does not respond; DatabaseBusyError, or LimitReachedError for a token with a turn, if
    the wait takes too long.
    """
    other = providers.other()
    try:
        if other is None:
            found = yield from _own(wanted, batches.LOOK_UP_SECONDS)
        else:
            found = yield from _own_or_other(wanted, other)
    except TimeoutError:
        # The lookup goes on if it has begun.
        wanted.found.cancel()
        if wanted.turn:
            raise LimitReachedError(TURN_FULL, is_per_caller=True) from None
        if other is None:
            raise DatabaseBusyError(batches.BUSY) from None
        raise other.too_slow() from None
    if identity := _checked(found, wanted.now):
        return identity
    # The key has expired since it was read.
    raise refusals.unknown()


def _own(wanted: Wanted, seconds: float) -> Asking[Found]:
    """Looks the token up among our own keys. Raises: TimeoutError."""
    seconds = min(seconds, TURN_SECONDS) if wanted.turn else seconds
    found: Found = yield Ask(
        lambda: LOOKUPS.ask(wanted, here=True).result(seconds), lambda: LOOKUPS.ask(wanted), seconds
    )
    return found


def _own_or_other(wanted: Wanted, other: IdentityProvider) -> Asking[Found]:
    """Asks the other service about a token that is not ours. Raises: TimeoutError.

    If the wait takes too long, the known answer about the token is used, if there is one.
    """
    fingerprint = fingerprint_of(wanted.parts.token)
    begun, known = time.monotonic(), other.known(fingerprint)
    seconds = other.known_seconds if known else TURN_SECONDS if wanted.turn else other.new_seconds
    try:
        found: Found | None = MEMORY.get(fingerprint)
        if found is not FOREIGN:
            found = yield from _own(wanted, seconds)
        if found is not FOREIGN:
            return found
        asked, since = providers.ask(other, wanted, fingerprint)
        until = (since if known else begun) + seconds
        mine = Future[Found]()
        asked.add_done_callback(lambda shared: settle(mine, shared.result))
        found = yield Ask(begin=lambda: mine, seconds=until - time.monotonic())
    except TimeoutError:
        if known is None:
            raise
        return known
    return found


def _checked(found: Found | None, now: datetime) -> KeyIdentity | None:
    if isinstance(found, APIError):
        # Raise a copy, because a raised exception keeps references to all stack frames.
        raise replace(found)
    return found if found is not None and found.expires_at > now else None
