"""Verifies session tokens: returns the identity of a token, or raises the error to reject it.

`MEMORY` caches identities and errors. Its keys are keyed hashes of tokens, so that the cache
contains no usable secret. Tokens that are not cached are looked up together (`tokens.look_ups`).
When a key or a user changes, a database trigger notifies this process, and the process evicts the
cached entries. Once an hour, using a key also writes that it was used (`tokens.last_use`). If no
key has the token's id, the token may belong to another service (`tokens.providers`).

A thread waits for a look-up (`verify`). An event loop gets a future (`begin`).
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import secrets
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import NamedTuple

import orjson
from django.conf import settings

from kernel.db.connections import DatabaseBusyError, deadline, fetch
from kernel.durations import to_timedelta
from kernel.futures import settle
from kernel.http.errors import APIError
from kernel.limiter import LimitReachedError
from kernel.memory import CachedValue, Memory
from tokens import look_ups, providers, refusals, token_format
from tokens.last_use import Touch, write
from tokens.lifetimes import TOUCH_INTERVAL
from tokens.look_ups import Found, LookUps, Wanted
from tokens.providers import IdentityProvider
from tokens.token_format import TokenParts
from users import allow_lists
from users.models import User
from users.permissions import KeyIdentity

KEY_TOPIC = "key"
USER_TOPIC = "user"
MEMORY: Memory[bytes, Found] = Memory(
    "keys", capacity=20_000, topics=(KEY_TOPIC, USER_TOPIC), max_age=60.0
)
# The result for a token that is not ours. Such an id stays unknown, because ids are random.
FOREIGN = refusals.unknown()
# SHA-256 after a block with a secret key. It is as fast as without the key. HMAC would hash twice.
_KEYED = hashlib.sha256(secrets.token_bytes(64))
# The time that a request with a turn waits.
TURN_SECONDS = 1.0
TURN_FULL = "Too many session tokens from this address are invalid. Try again soon."
LOOK_UP = """
SELECT key.id, key.hashed_secret, key.minted, key.scopes, key.allow_list, key.lifetime_ns,
    key.created_at, key.last_used, key.expires_at, person.id, person.username, person.roles,
    person.status
FROM tokens_apikey AS key JOIN users_user AS person ON person.id = key.user_id
WHERE key.id = ANY(%s)
"""


class FoundKey(NamedTuple):
    """A key and its user, with the columns of LOOK_UP in their order. `allow_list` is JSON."""

    key_id: str
    hashed_secret: bytes
    minted: bool
    scopes: list[str]
    allow_list: str
    lifetime_ns: int
    created_at: datetime
    last_used: datetime | None
    expires_at: datetime
    user_id: uuid.UUID
    username: str
    roles: list[str]
    status: str


def recall(token: str, *, now: datetime) -> KeyIdentity | None:
    """Returns the identity of a token from the cache, or None. Never runs a query.

    Raises: APIError 401 if the cached result is that the token is rejected.
    """
    fingerprint = _fingerprint(token)
    found = MEMORY.get(fingerprint)
    if found is FOREIGN and (other := providers.other()):
        found = other.recall(fingerprint)
    return _checked(found, now)


def is_ours(token: str) -> bool:
    """Returns whether a verified token is one of our own keys, and not of another service."""
    return MEMORY.get(_fingerprint(token)) is not FOREIGN


def verify(wanted: Wanted) -> KeyIdentity:
    """Returns the identity of a token that is not cached. Waits until it is looked up.

    Updates the key's `last_used` once an hour. All tokens with the same `turn` together have one
    look-up at a time. Raises: APIError 401, with the reason as its detail, or 503 if the other
    service does not respond; DatabaseBusyError, or LimitReachedError for a token with a turn, if
    the wait takes too long.
    """
    asked = _ask(wanted, here=True)
    try:
        found = asked.found.result(asked.seconds)
    except TimeoutError:
        found = asked.late()
    return _identity(found, wanted.now)


def begin[T](wanted: Wanted, convert: Callable[[Callable[[], KeyIdentity]], T]) -> Future[T]:
    """Returns the future result of `convert`, which gets `verify`. Only an event loop calls it."""
    result, first = Future[T](), threading.Lock()

    def end(find: Callable[[], Found]) -> None:
        # The result and the end of the wait may arrive at the same time, in two threads.
        if first.acquire(blocking=False):
            settle(result, lambda: convert(lambda: _identity(find(), wanted.now)))

    asked = _ask(wanted, here=False)
    asked.found.add_done_callback(lambda found: end(found.result))
    asyncio.get_running_loop().call_later(asked.seconds, end, asked.late)
    return result


class Asked(NamedTuple):
    """A look-up. The request waits `seconds` for `found`, and then uses `late` instead."""

    found: Future[Found]
    seconds: float
    late: Callable[[], Found]


def _ask(wanted: Wanted, *, here: bool) -> Asked:
    """Begins the look-up. This thread reads the key if `here` is true and no other reads one."""
    other, fingerprint = providers.other(), _fingerprint(wanted.parts.token)
    give_up = partial(_give_up, wanted, other)
    if other is None:
        seconds = TURN_SECONDS if wanted.turn else look_ups.LOOK_UP_SECONDS
        return Asked(LOOK_UPS.ask(wanted, here=here), seconds, give_up)
    begun = time.monotonic()
    if MEMORY.get(fingerprint) is FOREIGN:
        found, begun = providers.ask(other, wanted, fingerprint)
    else:
        found = Future()
        own = LOOK_UPS.ask(wanted, here=here)
        own.add_done_callback(partial(_pass_on, found, other, wanted))
    if known := other.known(fingerprint):
        return Asked(found, begun + other.known_seconds - time.monotonic(), lambda: known)
    return Asked(found, TURN_SECONDS if wanted.turn else other.new_seconds, give_up)


def _pass_on(
    result: Future[Found], other: IdentityProvider, wanted: Wanted, own: Future[Found]
) -> None:
    """Passes on the result of a look-up among our keys, or asks the other service."""
    if own.cancelled() or own.exception() or own.result() is not FOREIGN:
        settle(result, own.result)
    else:
        asked, _ = providers.ask(other, wanted, _fingerprint(wanted.parts.token))
        asked.add_done_callback(lambda found: settle(result, found.result))


def _give_up(wanted: Wanted, other: IdentityProvider | None) -> Found:
    """Ends the wait for a look-up that takes too long."""
    wanted.found.cancel()
    if wanted.turn:
        raise LimitReachedError(TURN_FULL, is_per_caller=True)
    if other is None:
        raise DatabaseBusyError(look_ups.BUSY)
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


def _fingerprint(token: str) -> bytes:
    keyed = _KEYED.copy()
    keyed.update(token.encode())
    return keyed.digest()


def _look_up(batch: Sequence[Wanted]) -> list[Found]:
    """Returns the result for each token, and caches all. Takes one query."""
    generation = MEMORY.generation
    with deadline(look_ups.LOOK_UP_SECONDS):
        rows = fetch(LOOK_UP, [list({wanted.parts.key_id for wanted in batch})])
    keys = {key.key_id: key for key in map(FoundKey._make, rows)}
    touches: list[Touch] = []
    # Several requests may have the same token.
    results = {wanted.parts: _result(wanted, keys, touches) for wanted in batch}
    if touches:
        write(touches)
    MEMORY.keep(
        {_fingerprint(parts.token): result for parts, result in results.items()},
        generation=generation,
    )
    return [results[wanted.parts].value for wanted in batch]


def _result(
    wanted: Wanted, keys: Mapping[str, FoundKey], touches: list[Touch]
) -> CachedValue[Found]:
    """Returns the result for a token. Adds its touch to `touches` once an hour."""
    found, now = keys.get(wanted.parts.key_id), wanted.now
    if found is None and providers.other():
        return CachedValue(FOREIGN, lasting=True)
    key = _authentic_key(found, wanted.parts)
    by_key = (KEY_TOPIC, wanted.parts.key_id)
    if key is None or key.expires_at < now:
        # The result is `lasting`, because no later change can make this token valid.
        refusal = refusals.unknown() if key is None else refusals.expired(key.expires_at)
        return CachedValue(refusal, tags=(by_key,), lasting=True)
    tags = (by_key, (USER_TOPIC, str(key.user_id)))
    if key.status == User.Status.SUSPENDED:
        return CachedValue(refusals.suspended(), tags=tags)
    if next_touch(key) <= now:
        read, key = key, _touched(key, now)
        touches.append(
            Touch(
                *(key.key_id, key.user_id, read.expires_at, key.lifetime_ns, key.expires_at, now),
                wanted.address or None,
            )
        )
    until = min(key.expires_at, next_touch(key))
    return CachedValue(_identity_of(key), tags=tags, max_age=(until - now).total_seconds())


def _authentic_key(key: FoundKey | None, parts: TokenParts) -> FoundKey | None:
    stored = key.hashed_secret if key else bytes(32)
    return key if hmac.compare_digest(stored, token_format.digest(parts.secret)) else None


def _identity_of(key: FoundKey) -> KeyIdentity:
    return KeyIdentity(
        user_id=key.user_id,
        username=key.username,
        roles=frozenset(key.roles),
        key_id=key.key_id,
        scopes=tuple(key.scopes),
        allow_list=allow_lists.loaded(orjson.loads(key.allow_list)),
        expires_at=key.expires_at,
        lifetime_ns=key.lifetime_ns,
        minted=key.minted,
    )


def next_touch(key: FoundKey) -> datetime:
    """Returns the earliest time at which using the key updates `last_used` or the expiry.

    The time is an hour after the last update. For the first use of a key, or for a dormant user, it
    is in the past.
    """
    never = key.last_used is None or key.status == User.Status.DORMANT
    used = key.created_at if never or key.last_used is None else key.last_used + TOUCH_INTERVAL
    return min(used, refresh_from(key)) if not settings.DISABLE_SESSION_EXPIRY_REFRESH else used


def refresh_from(key: FoundKey) -> datetime:
    """Returns the earliest time at which using the key extends its expiry.

    The time is an hour after the last extension.
    """
    return key.expires_at - to_timedelta(key.lifetime_ns) + TOUCH_INTERVAL


def _touched(key: FoundKey, now: datetime) -> FoundKey:
    """Returns the key after this use.

    Lifetimes are limited, so PostgreSQL and Python can always represent the new expiry.
    """
    expires_at = key.expires_at
    if not settings.DISABLE_SESSION_EXPIRY_REFRESH and refresh_from(key) <= now:
        expires_at = now + to_timedelta(key.lifetime_ns)
    return key._replace(last_used=now, expires_at=expires_at, status=User.Status.ACTIVE)


LOOK_UPS = LookUps(_look_up)
