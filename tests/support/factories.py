"""Rows for tests, made by plain functions."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from django.contrib.auth.hashers import make_password
from django.db import transaction
from django.utils import timezone

from audit.services import with_partition
from tokens.models import APIKey
from tokens.services import NewKey, create_api_key
from tokens.token_format import random_name
from users.models import User

HOUR_NS = 3_600_000_000_000
DAY_NS = 24 * HOUR_NS
PASSWORD = "correct-horse-battery-staple"

_numbers = itertools.count(1)


def make_user(*roles: str, **fields: Any) -> User:
    number = next(_numbers)
    fields.setdefault("username", f"user{number}")
    fields.setdefault("email", f"{fields['username']}@example.com")
    user = User(roles=list(roles), password=hashed(fields.pop("password", PASSWORD)), **fields)
    user.save(force_insert=True)
    return user


def make_robot(*roles: str, **fields: Any) -> User:
    """Makes a service account: a user without a password."""
    user = make_user(*roles, **fields)
    user.set_unusable_password()
    user.save()
    return user


@cache
def hashed(password: str) -> str:
    """Returns the hash of the password. Argon2 is slow, so each is computed once."""
    return make_password(password)


def make_key(user: User, *, used: bool = True, **fields: Any) -> NewKey:
    """Makes a key. By default it was used just now, so that its next use writes nothing."""
    fields.setdefault("lifetime_ns", DAY_NS)
    if fields.pop("login_type", "") == APIKey.LoginType.TOKEN:
        fields.setdefault("token_name", random_name())
    now = fields.pop("now", timezone.now())

    def create() -> NewKey:
        with transaction.atomic():
            return create_api_key(user, now=now, **fields)

    new = with_partition(create, now=now)
    if used:
        APIKey.objects.filter(pk=new.key.pk).update(last_used=now)
    return new


def expire(new: NewKey, *, ago: timedelta = timedelta(minutes=1)) -> None:
    APIKey.objects.filter(pk=new.key.pk).update(expires_at=timezone.now() - ago)


def utc(year: int, month: int = 1, day: int = 1, hour: int = 0, minute: int = 0) -> datetime:
    return datetime(year, month, day, hour, minute, tzinfo=UTC)
