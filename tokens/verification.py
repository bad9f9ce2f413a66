"""Finding whose a session token is: by one query, or by none for a remembered key."""

from __future__ import annotations

import hmac
import threading
from datetime import datetime, timedelta

from django.conf import settings

from kernel.db import listener
from kernel.db.connections import deadline
from kernel.db.waiting import held
from kernel.durations import to_timedelta
from kernel.http.errors import APIError
from tokens import refusals, token_format
from tokens.memory import memory
from tokens.models import APIKey
from tokens.token_format import TokenParts
from users import allow_lists
from users.models import User
from users.permissions import KeyIdentity

# `last_used` and a sliding expiry are written at most about this often for one key.
TOUCH_INTERVAL = timedelta(hours=1)
LOOK_UP_SECONDS = 1.5


def recall(token: str, *, now: datetime) -> KeyIdentity | None:
    """Returns the identity of a remembered token, else None. Asks no database."""
    found = memory.recall(token, now=now)
    if found is None:
        memory.misses += 1
    else:
        memory.hits += 1
    return found


# While a key is looked up, other requests with that key wait for the result: a crowd with one key,
# as after a restart, would else take every connection of the pool.
_LOOKUPS = tuple(threading.Lock() for _ in range(64))


def verify(parts: TokenParts, *, now: datetime, address: str) -> KeyIdentity:
    """Returns the identity that the token stands for, and notes its use once an hour.

    Secrets are compared in constant time. Raises: APIError 401 that names the cause.
    """
    if not listener.is_fresh():
        return _look_up(parts, now=now, address=address)
    with held(_LOOKUPS[hash(parts.key_id) % len(_LOOKUPS)]):
        if refused := memory.refusal(parts.token):
            raise refused
        found = memory.recall(parts.token, now=now)
        return found or _look_up(parts, now=now, address=address)


def _look_up(parts: TokenParts, *, now: datetime, address: str) -> KeyIdentity:
    generation = memory.generation
    try:
        key = _authentic_key(parts, now)
    except APIError as refusal:
        # Only a suspension can end, which a process must hear of.
        if refusal.message == refusals.EXPIRED or listener.is_connected():
            memory.refuse(parts.token, refusal, generation=generation)
        raise
    if is_touch_due(key, now):
        touch_api_key(key, now=now, address=address)
    identity = identity_of(key)
    until = min(key.expires_at, next_touch(key))
    memory.remember(parts.token, identity, until=until, generation=generation)
    return identity


def _authentic_key(parts: TokenParts, now: datetime) -> APIKey:
    with deadline(LOOK_UP_SECONDS):
        key = APIKey.objects.select_related("user").filter(id=parts.key_id).first()
    stored = bytes(key.hashed_secret) if key else bytes(32)
    if not hmac.compare_digest(stored, token_format.digest(parts.secret)) or key is None:
        raise refusals.unknown()
    if key.is_expired(now):
        raise refusals.expired(key.expires_at)
    if key.user.status == User.Status.SUSPENDED:
        raise refusals.suspended()
    return key


def identity_of(key: APIKey) -> KeyIdentity:
    return KeyIdentity(
        user_id=key.user.id,
        username=key.user.username,
        roles=frozenset(key.user.roles),
        key_id=key.id,
        scopes=tuple(key.scopes),
        allow_list=allow_lists.loaded(key.allow_list),
        expires_at=key.expires_at,
        minted=key.minted,
    )


def is_touch_due(key: APIKey, now: datetime) -> bool:
    return next_touch(key) <= now


def next_touch(key: APIKey) -> datetime:
    """Returns when the key's use must next be written: an hour after the last time, or at once."""
    never = key.last_used is None or key.user.status == User.Status.DORMANT
    used = key.created_at if never or key.last_used is None else key.last_used + TOUCH_INTERVAL
    return min(used, refresh_from(key)) if not settings.DISABLE_SESSION_EXPIRY_REFRESH else used


def refresh_from(key: APIKey) -> datetime:
    """Returns from when on a use extends the key: its remaining life is lifetime - 1 h or less."""
    return key.expires_at - to_timedelta(key.lifetime_ns) + TOUCH_INTERVAL


def touch_api_key(key: APIKey, *, now: datetime, address: str) -> None:
    """Writes that the key was used, and its new expiry when it slides, in one statement.

    A sliding expiry is never past PostgreSQL's or Python's last year: lifetimes are bounded.
    """
    fields = {"last_used": now, "ip_address": address or None, "updated_at": now}
    # A key that was expired or shortened since it was read must not be brought back by this.
    as_read = {"expires_at": key.expires_at, "lifetime_ns": key.lifetime_ns}
    if not settings.DISABLE_SESSION_EXPIRY_REFRESH and refresh_from(key) <= now:
        fields["expires_at"] = now + to_timedelta(key.lifetime_ns)
    for name, value in fields.items():
        setattr(key, name, value)
    APIKey.objects.filter(pk=key.pk, **as_read).update(**fields)
    _see_user(key.user, now)


def _see_user(user: User, now: datetime) -> None:
    """Notes that the user was here; a dormant one becomes active, a suspended one never."""
    fields: dict[str, object] = {"last_seen_at": now}
    if user.status == User.Status.DORMANT:
        user.status = User.Status.ACTIVE
        fields["status"] = user.status
    User.objects.filter(pk=user.pk).exclude(status=User.Status.SUSPENDED).update(**fields)
