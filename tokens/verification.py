"""Verifies session tokens: returns the identity of a token, or raises the error to reject it.

`MEMORY` caches identities and errors. Its keys are hashes of tokens, so that the cache contains no
usable secret. A token that is not cached takes one query. When a key or a user changes, a database
trigger notifies this process, and the process evicts the cached entries.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import replace
from datetime import datetime, timedelta

from django.conf import settings

from kernel.db.connections import deadline
from kernel.durations import to_timedelta
from kernel.http.errors import APIError
from kernel.memory import Memory, Remembered
from tokens import refusals, token_format
from tokens.models import APIKey
from tokens.token_format import TokenParts
from users import allow_lists
from users.models import User
from users.permissions import KeyIdentity

KEY_TOPIC = "key"
USER_TOPIC = "user"
MEMORY: Memory[bytes, KeyIdentity | APIError] = Memory(
    "keys", capacity=20_000, topics=(KEY_TOPIC, USER_TOPIC), max_age=60.0
)
# `last_used` and the expiry are updated at most once in this interval.
TOUCH_INTERVAL = timedelta(hours=1)
LOOK_UP_SECONDS = 1.5


def recall(token: str, *, now: datetime) -> KeyIdentity | None:
    """Returns the identity of a token from the cache, or None. Never runs a query.

    Raises: APIError 401 if the cached result is that the token is rejected.
    """
    return _checked(MEMORY.get(_fingerprint(token)), now)


def verify(parts: TokenParts, *, now: datetime, address: str) -> KeyIdentity:
    """Returns the identity of a token. Updates the key's `last_used` once an hour.

    Raises: APIError 401. Its detail is the reason.
    """
    found = MEMORY.load(
        _fingerprint(parts.token), lambda: _look_up(parts, now=now, address=address)
    )
    identity = _checked(found, now)
    if identity is None:
        # The cache returns an expired key only while the database does not respond.
        raise refusals.unknown()
    return identity


def _checked(found: KeyIdentity | APIError | None, now: datetime) -> KeyIdentity | None:
    if isinstance(found, APIError):
        # Raise a copy, because a raised exception keeps references to all stack frames.
        raise replace(found)
    return found if found is not None and found.expires_at > now else None


def _fingerprint(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


def _look_up(
    parts: TokenParts, *, now: datetime, address: str
) -> Remembered[KeyIdentity | APIError]:
    key = _authentic_key(parts)
    by_key = (KEY_TOPIC, parts.key_id)
    if key is None or key.is_expired(now):
        # The result is `lasting`, because no later change can make this token valid.
        refusal = refusals.unknown() if key is None else refusals.expired(key.expires_at)
        return Remembered(refusal, tags=(by_key,), lasting=True)
    tags = (by_key, (USER_TOPIC, str(key.user_id)))
    if key.user.status == User.Status.SUSPENDED:
        return Remembered(refusals.suspended(), tags=tags)
    if is_touch_due(key, now):
        touch_api_key(key, now=now, address=address)
    until = min(key.expires_at, next_touch(key))
    return Remembered(identity_of(key), tags=tags, max_age=(until - now).total_seconds())


def _authentic_key(parts: TokenParts) -> APIKey | None:
    with deadline(LOOK_UP_SECONDS):
        key = APIKey.objects.select_related("user").filter(id=parts.key_id).first()
    stored = bytes(key.hashed_secret) if key else bytes(32)
    return key if hmac.compare_digest(stored, token_format.digest(parts.secret)) else None


def identity_of(key: APIKey) -> KeyIdentity:
    return KeyIdentity(
        user_id=key.user.id,
        username=key.user.username,
        roles=frozenset(key.user.roles),
        key_id=key.id,
        scopes=tuple(key.scopes),
        allow_list=allow_lists.loaded(key.allow_list),
        expires_at=key.expires_at,
        lifetime_ns=key.lifetime_ns,
        minted=key.minted,
    )


def is_touch_due(key: APIKey, now: datetime) -> bool:
    return next_touch(key) <= now


def next_touch(key: APIKey) -> datetime:
    """Returns the earliest time at which using the key updates `last_used` or the expiry.

    The time is an hour after the last update. For the first use of a key, or for a dormant user, it
    is in the past.
    """
    never = key.last_used is None or key.user.status == User.Status.DORMANT
    used = key.created_at if never or key.last_used is None else key.last_used + TOUCH_INTERVAL
    return min(used, refresh_from(key)) if not settings.DISABLE_SESSION_EXPIRY_REFRESH else used


def refresh_from(key: APIKey) -> datetime:
    """Returns the earliest time at which using the key extends its expiry.

    The time is an hour after the last extension.
    """
    return key.expires_at - to_timedelta(key.lifetime_ns) + TOUCH_INTERVAL


def touch_api_key(key: APIKey, *, now: datetime, address: str) -> None:
    """Updates the key's last use, and extends its expiry if that is due, in one statement.

    Lifetimes are limited, so PostgreSQL and Python can always represent the new expiry.
    """
    fields = {"last_used": now, "ip_address": address or None, "updated_at": now}
    # Do not update a key that another request has expired or shortened in the meantime.
    as_read = {"expires_at": key.expires_at, "lifetime_ns": key.lifetime_ns}
    if not settings.DISABLE_SESSION_EXPIRY_REFRESH and refresh_from(key) <= now:
        fields["expires_at"] = now + to_timedelta(key.lifetime_ns)
    for name, value in fields.items():
        setattr(key, name, value)
    APIKey.objects.filter(pk=key.pk, **as_read).update(**fields)
    _see_user(key.user, now)


def _see_user(user: User, now: datetime) -> None:
    """Updates the user's `last_seen_at`. A dormant user becomes active.

    Does not update a user who was suspended in the meantime.
    """
    fields: dict[str, object] = {"last_seen_at": now}
    if user.status == User.Status.DORMANT:
        user.status = User.Status.ACTIVE
        fields["status"] = user.status
    User.objects.filter(pk=user.pk).exclude(status=User.Status.SUSPENDED).update(**fields)
