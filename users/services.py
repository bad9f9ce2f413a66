"""Making users."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime

from django.core.exceptions import ValidationError
from django.contrib.auth.password_validation import validate_password
from django.db import transaction

from audit.services import Actor, Target, record
from coderapi.database import transaction_lock
from coderapi.errors import APIError, Validation, invalid
from users.models import Organization, User
from users.roles import OWNER

MIN_PASSWORD = 8
MAX_PASSWORD = 64


@dataclass(frozen=True, slots=True)
class NewUser:
    """What somebody asks for who wants a user made."""

    username: str
    email: str
    password: str
    name: str = ""
    roles: tuple[str, ...] = ()


def organization_id() -> uuid.UUID:
    """The id of the one organization, made the first time that it is asked for."""
    organization, _ = Organization.objects.get_or_create(only=True)
    return organization.uuid


def create_user(new: NewUser, *, actor: Actor, now: datetime) -> User:
    """The user just made.

    Raises: APIError 400 with an entry for each field that is refused.
    """
    user = User(username=new.username, email=new.email, name=new.name, roles=list(new.roles))
    problems = [*_field_problems(user), *_password_problems(new.password, user)]
    if problems:
        raise invalid(*problems)
    user.set_password(new.password)
    with transaction.atomic():
        user.save(force_insert=True)
        record("user.create", actor=actor, target=_target(user), now=now)
    return user


def create_first_user(new: NewUser, *, actor: Actor, now: datetime) -> User:
    """The first user, who becomes an owner. Raises: APIError 409 once anybody exists."""
    with transaction.atomic(), transaction_lock("first-owner"):
        if User.objects.exists():
            raise APIError(409, "The first user exists already.")
        owner = NewUser(new.username, new.email, new.password, new.name, (OWNER,))
        return create_user(owner, actor=actor, now=now)


def _target(user: User) -> Target:
    return Target("user", str(user.id), user.username)


def _field_problems(user: User) -> list[Validation]:
    try:
        user.full_clean(exclude=["password"])
    except ValidationError as error:
        return [
            Validation(field.replace("__all__", "username"), " ".join(texts))
            for field, texts in error.message_dict.items()
        ]
    return []


def _password_problems(password: str, user: User) -> list[Validation]:
    if not MIN_PASSWORD <= len(password) <= MAX_PASSWORD:
        detail = f"A password has {MIN_PASSWORD} to {MAX_PASSWORD} characters."
        return [Validation("password", detail)]
    try:
        validate_password(password, user)
    except ValidationError as error:
        return [Validation("password", " ".join(error.messages))]
    return []
