"""Verifies session tokens: returns the identity of a token, or raises the error to reject it.

Tokens that are not cached are looked up among our own keys together (`batches`, `keys`). If no key
has the token's id, the token may belong to another service (`providers`). A thread waits for a
lookup (`verify`). An event loop gets a future (`begin`).
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import NamedTuple

from kernel.db.connections import DatabaseBusyError
from kernel.futures import settle
from kernel.http.errors import APIError
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


def verify(wanted: Wanted) -> KeyIdentity:
    """Returns the identity of a token that is not cached. Waits until it is looked up.

    Updates the key's `last_used` once an hour. All tokens with the same `turn` together have one
    lookup at a time. Raises: APIError 401, with the reason as its detail, or 503 if the other
    service does not respond; DatabaseBusyError, or LimitReachedError for a token with a turn, if
    the wait takes too long.
    """
    wait = _ask(wanted, here=True)
    try:
        found = wait.found.result(wait.seconds)
    except TimeoutError:
        found = wait.late()
    return _identity(found, wanted.now)


def begin[T](wanted: Wanted, convert: Callable[[Callable[[], KeyIdentity]], T]) -> Future[T]:
    """Starts to verify the token. Returns a future with the result of `convert`.

    `convert` gets a function that returns the identity or raises the error. Call this function in
    an event loop only.
    """
    result, first = Future[T](), threading.Lock()

    def end(find: Callable[[], Found]) -> None:
        # The result and the end of the wait may arrive at the same time, in two threads.
        if first.acquire(blocking=False):
            settle(result, lambda: convert(lambda: _identity(find(), wanted.now)))

    wait = _ask(wanted, here=False)
    wait.found.add_done_callback(lambda found: end(found.result))
    asyncio.get_running_loop().call_later(wait.seconds, end, wait.late)
    return result


class Wait(NamedTuple):
    """A lookup. The request waits `seconds` for `found`, and then uses `late` instead."""

    found: Future[Found]
    seconds: float
    late: Callable[[], Found]


def _ask(wanted: Wanted, *, here: bool) -> Wait:
    """Begins the lookup. This thread reads the key if `here` is true and no other reads one."""
    other, fingerprint = providers.other(), fingerprint_of(wanted.parts.token)
    give_up = partial(_give_up, wanted, other)
    if other is None:
        seconds = TURN_SECONDS if wanted.turn else batches.LOOK_UP_SECONDS
        return Wait(LOOKUPS.ask(wanted, here=here), seconds, give_up)
    begun = time.monotonic()
    if MEMORY.get(fingerprint) is FOREIGN:
        found, begun = providers.ask(other, wanted, fingerprint)
    else:
        found = Future()
        own = LOOKUPS.ask(wanted, here=here)
        own.add_done_callback(partial(_pass_on, found, other, wanted))
    if known := other.known(fingerprint):
        return Wait(found, begun + other.known_seconds - time.monotonic(), lambda: known)
    return Wait(found, TURN_SECONDS if wanted.turn else other.new_seconds, give_up)


def _pass_on(
    result: Future[Found], other: IdentityProvider, wanted: Wanted, own: Future[Found]
) -> None:
    """Passes on the result of a lookup among our keys, or asks the other service."""
    if own.cancelled() or own.exception() or own.result() is not FOREIGN:
        settle(result, own.result)
    else:
        asked, _ = providers.ask(other, wanted, fingerprint_of(wanted.parts.token))
        asked.add_done_callback(lambda found: settle(result, found.result))


def _give_up(wanted: Wanted, other: IdentityProvider | None) -> Found:
    """Ends the wait for a lookup that takes too long."""
    wanted.found.cancel()
    if wanted.turn:
        raise LimitReachedError(TURN_FULL, is_per_caller=True)
    if other is None:
        raise DatabaseBusyError(batches.BUSY)
    return other.too_slow()


def _identity(found: Found, now: datetime) -> KeyIdentity:
    if identity := _checked(found, now):
        return identity
    # The key has expired since it was read.
    raise refusals.unknown()


def _checked(found: Found | None, now: datetime) -> KeyIdentity | None:
    if isinstance(found, APIError):
        # Raise a copy, because a raised exception keeps references to all stack frames.
        raise replace(found)
    return found if found is not None and found.expires_at > now else None
