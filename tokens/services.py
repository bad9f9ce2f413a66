"""Making and ending keys."""

from __future__ import annotations

import secrets as random_source
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models.functions import Least

from audit.services import SYSTEM, Actor, Change, Target, record, record_all
from kernel.db.connections import transaction_lock
from tokens import secrets
from tokens.memory import memory
from tokens.models import APIKey
from users import allow_lists, roles
from users import scopes as known_scopes
from users.allow_lists import EVERYTHING, AllowList
from users.models import User


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key just made, and its token: the only time that the secret is seen."""

    key: APIKey
    token: str


def create_api_key(
    user: User,
    *,
    lifetime_ns: int,
    now: datetime,
    actor: Actor = SYSTEM,
    token_name: str = "",
    scopes: Sequence[str] = (known_scopes.ALL,),
    allow_list: AllowList = EVERYTHING,
    login_type: str = APIKey.LoginType.PASSWORD,
) -> NewKey:
    """A new key of the user and its token. Units: `lifetime_ns` nanoseconds."""
    parts = secrets.generate()
    with transaction.atomic():
        key = APIKey.objects.create(
            id=parts.key_id,
            hashed_secret=secrets.digest(parts.secret),
            user=user,
            token_name=token_name,
            login_type=login_type,
            scopes=[known_scopes.canonical(scope) for scope in scopes],
            allow_list=allow_lists.stored(allow_list),
            lifetime_ns=lifetime_ns,
            expires_at=now + span(lifetime_ns),
            created_at=now,
        )
        after = _facts(key)
        record("api_key.create", actor=actor, target=target_of(key), now=now, after=after)
    return NewKey(key, parts.token)


def span(lifetime_ns: int) -> timedelta:
    """A lifetime as far as times can tell: PostgreSQL and Python count microseconds."""
    return timedelta(microseconds=lifetime_ns // 1000)


def target_of(key: APIKey) -> Target:
    """The key as the audit trail names what something was done to."""
    return Target("api_key", key.id, key.token_name)


def _facts(key: APIKey) -> dict[str, Any]:
    """What the audit trail keeps of a key. Never its secret, nor the digest."""
    return {
        "user_id": str(key.user_id),
        "login_type": str(key.login_type),
        "scopes": key.scopes,
        "allow_list": key.allow_list,
        "lifetime_ns": key.lifetime_ns,
        "expires_at": key.expires_at.isoformat(),
    }


def expire_keys(keys: Iterable[APIKey], *, actor: Actor, now: datetime, reason: str = "") -> int:
    """How many keys were ended now, which are kept. Expired ones stay as they are."""
    ended = [key for key in keys if not key.is_expired(now)]
    why = {"reason": reason} if reason else {}
    changes = [
        Change(
            target_of(key),
            before={"expires_at": key.expires_at.isoformat()},
            after={"expires_at": now.isoformat()} | why,
        )
        for key in ended
    ]
    with transaction.atomic():
        record_all("api_key.expire", changes, actor=actor, now=now)
        rows = APIKey.objects.filter(pk__in=[key.pk for key in ended])
        rows.update(expires_at=now, updated_at=now)
        _forget(ended)
    return len(ended)


def delete_keys(keys: Iterable[APIKey], *, actor: Actor, now: datetime) -> int:
    """How many keys were deleted."""
    ended = list(keys)
    changes = [Change(target_of(key), before=_facts(key)) for key in ended]
    with transaction.atomic():
        record_all("api_key.delete", changes, actor=actor, now=now)
        APIKey.objects.filter(pk__in=[key.pk for key in ended]).delete()
        _forget(ended)
    return len(ended)


def shorten_keys(
    keys: Iterable[APIKey], *, lifetime_ns: int, actor: Actor, now: datetime, reason: str = ""
) -> int:
    """How many keys were cut to that lifetime, counted from now. Units: nanoseconds."""
    cut = [key for key in keys if key.lifetime_ns > lifetime_ns]
    why = {"reason": reason} if reason else {}
    latest = now + span(lifetime_ns)
    changes = []
    for key in cut:
        before = _facts(key)
        key.lifetime_ns, key.expires_at = lifetime_ns, min(key.expires_at, latest)
        changes.append(Change(target_of(key), before=before, after=_facts(key) | why))
    with transaction.atomic():
        rows = APIKey.objects.filter(pk__in=[key.pk for key in cut])
        rows.update(lifetime_ns=lifetime_ns, expires_at=Least("expires_at", latest), updated_at=now)
        record_all("api_key.shorten", changes, actor=actor, now=now)
        _forget(cut)
    return len(cut)


def _forget(keys: Sequence[APIKey]) -> None:
    """At once in this process; the others hear of it from the tables' triggers."""
    for key in keys:
        transaction.on_commit(partial(memory.forget_key, key.pk))


@dataclass(frozen=True, slots=True)
class FirstOwner:
    """The owner that the first start made. `password` is "" where the operator chose it."""

    username: str
    password: str
    token: str


def ensure_first_owner(*, now: datetime) -> FirstOwner | None:
    """The first owner with a session token, made if nobody exists and the settings name one."""
    if not settings.FIRST_OWNER_USERNAME:
        return None
    with transaction.atomic(), transaction_lock("first-owner"):
        if User.objects.exists():
            return None
        return _create_first_owner(now)


def _create_first_owner(now: datetime) -> FirstOwner:
    username = settings.FIRST_OWNER_USERNAME
    generated = "" if settings.FIRST_OWNER_PASSWORD else random_source.token_urlsafe(18)
    owner = User.objects.create_user(
        username=username,
        email=settings.FIRST_OWNER_EMAIL or f"{username}@localhost.localdomain",
        password=settings.FIRST_OWNER_PASSWORD or generated,
        roles=[roles.OWNER],
    )
    record("user.create", actor=SYSTEM, target=Target("user", str(owner.id), username), now=now)
    new = create_api_key(owner, lifetime_ns=settings.MAX_ADMIN_TOKEN_LIFETIME_NS, now=now)
    return FirstOwner(username, generated, new.token)


def prune_expired_keys(*, retention: timedelta, now: datetime) -> int:
    """How many keys were deleted that had expired longer ago than `retention`; 0 keeps them all."""
    if not retention:
        return 0
    return APIKey.objects.filter(expires_at__lt=now - retention).delete()[0]
