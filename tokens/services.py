"""Making and ending session tokens."""

from __future__ import annotations

import secrets as random_source
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction

from audit.services import SYSTEM, Actor, Target, record
from coderapi.database import transaction_lock
from tokens import scopes as known_scopes
from tokens import secrets
from tokens.models import APIKey
from users import roles
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
            lifetime_ns=lifetime_ns,
            expires_at=now + timedelta(microseconds=lifetime_ns // 1000),
        )
        record("api_key.create", actor=actor, target=_target(key), now=now)
    return NewKey(key, parts.token)


def _target(key: APIKey) -> Target:
    return Target("api_key", key.id, key.token_name)


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
