"""Verifies session tokens: returns the identity of a token, or raises the error to reject it.

`MEMORY` caches identities and errors. Its keys are keyed hashes of tokens, so that the cache
contains no usable secret. Tokens that are not cached are looked up together (`tokens.look_ups`).
When a key or a user changes, a database trigger notifies this process, and the process evicts the
cached entries. Once an hour, using a key also writes that it was used (`tokens.last_use`). If no
key has the token's id, the token may belong to another service (`tokens.providers`).
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
import uuid
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import replace
from datetime import datetime, timedelta
from functools import cache, partial
from typing import NamedTuple

import orjson
from django.conf import settings

from kernel.db.connections import deadline, fetch
from kernel.durations import to_timedelta
from kernel.futures import settle
from kernel.http.errors import APIError
from kernel.http.hosts import client_of
from kernel.http.pool import Pool
from kernel.limiter import Limiter, LimitReachedError
from kernel.memory import CachedValue, Memory
from tokens import look_ups, providers, refusals, token_format
from tokens.last_use import Touch, write, writer
from tokens.look_ups import Found, LookUps, Wanted
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
# The number of threads that ask another service, and the time that a request waits for a thread.
ASKERS = 16
ASKER_SECONDS = 2.5
# After many invalid tokens of an address, only one token of this address is checked at a time.
UNKNOWN_TOKENS = Limiter(
    "requests are waiting for Coder",
    limit=ASKERS,
    per_caller=1,
    timeout=look_ups.TURN_SECONDS,
    own_full=look_ups.TURN_FULL,
)
# `last_used` and the expiry are updated at most once in this interval.
TOUCH_INTERVAL = timedelta(hours=1)
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


def verify(parts: TokenParts, *, now: datetime, address: str, turn: str = "") -> KeyIdentity:
    """Returns the identity of a token that is not cached. Waits until it is looked up.

    Updates the key's `last_used` once an hour. All tokens with the same `turn` together have one
    look-up at a time. Raises: APIError 401, with the reason as its detail; the errors of
    `LookUps.find` and of the other service.
    """
    wanted = Wanted(parts, now, address, turn)
    found = FOREIGN if _is_foreign(parts) else LOOK_UPS.find(wanted)
    return _identity(wanted, found)


def ask(parts: TokenParts, *, now: datetime, address: str, turn: str = "") -> Future[KeyIdentity]:
    """Returns the future result of `verify`. Does not wait, so an event loop can call it."""
    wanted, result = Wanted(parts, now, address, turn), Future[KeyIdentity]()
    if _is_foreign(parts):
        _ask_other(wanted, result)
    else:
        LOOK_UPS.ask(wanted).add_done_callback(partial(_pass_on, wanted, result))
    return result


def _pass_on(wanted: Wanted, result: Future[KeyIdentity], read: Future[Found]) -> None:
    """Sets the result of a look-up among our keys, or asks the other service."""
    if not read.exception() and read.result() is FOREIGN and providers.other():
        _ask_other(wanted, result)
    else:
        settle(result, lambda: _identity(wanted, read.result()))


def _ask_other(wanted: Wanted, result: Future[KeyIdentity]) -> None:
    """Lets a thread ask the other service. The addresses of clients take turns."""
    until = time.monotonic() + ASKER_SECONDS

    def identity() -> KeyIdentity:
        if time.monotonic() > until:
            raise LimitReachedError(UNKNOWN_TOKENS.full, is_per_caller=False)
        return _identity(wanted, FOREIGN)

    _askers().submit(client_of(wanted.address), partial(settle, result, identity))


@cache
def _askers() -> Pool:
    """Returns the threads that ask another service. A forked process starts its own."""
    return Pool(ASKERS, name="asker")


def _is_foreign(parts: TokenParts) -> bool:
    """Returns whether the cache knows that no key of ours has the token's id."""
    return providers.other() is not None and not is_ours(parts.token)


def _identity(wanted: Wanted, found: Found) -> KeyIdentity:
    """Returns the identity. Asks the other service for a token that is not ours, and waits."""
    if found is FOREIGN and (other := providers.other()):
        with UNKNOWN_TOKENS.hold(wanted.turn or None):
            found = other.look_up(wanted.parts, _fingerprint(wanted.parts.token), wanted.address)
    if identity := _checked(found, wanted.now):
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
    dormant: list[Touch] = []
    # Several requests may have the same token.
    results = {wanted.parts: _result(wanted, keys, dormant) for wanted in batch}
    if dormant:
        # The response may contain the user's status, so the user must become active before it.
        write(dormant)
    MEMORY.keep(
        {_fingerprint(parts.token): result for parts, result in results.items()},
        generation=generation,
    )
    return [results[wanted.parts].value for wanted in batch]


def _result(
    wanted: Wanted, keys: Mapping[str, FoundKey], dormant: list[Touch]
) -> CachedValue[Found]:
    """Returns the result for a token. Adds the touch of a dormant user's key to `dormant`."""
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
        key = _touched(key, dormant, now=now, address=wanted.address)
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


def _touched(key: FoundKey, dormant: list[Touch], *, now: datetime, address: str) -> FoundKey:
    """Returns the key with this use. A thread stores the use later, except for a dormant user.

    Lifetimes are limited, so PostgreSQL and Python can always represent the new expiry.
    """
    expires_at = key.expires_at
    if not settings.DISABLE_SESSION_EXPIRY_REFRESH and refresh_from(key) <= now:
        expires_at = now + to_timedelta(key.lifetime_ns)
    read = key.expires_at, key.lifetime_ns
    touch = Touch(key.key_id, key.user_id, *read, expires_at, now, address or None)
    if key.status == User.Status.DORMANT:
        dormant.append(touch)
    else:
        writer.add(touch)
    return key._replace(last_used=now, expires_at=expires_at, status=User.Status.ACTIVE)


LOOK_UPS = LookUps(_look_up)
