from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.dispatch import Signal

from audit.services import Actor, Target, record
from kernel.db.connections import transaction_lock
from kernel.http.errors import APIError, Validation, invalid
from users import passwords, selectors
from users.models import Organization, User
from users.roles import DISPLAY_NAMES, MEMBER, OWNER

# Sent within the transaction that sets a password, to the apps above, which this one may not know.
# Arguments: user; kept_key_id, the id of the key that the change came with, or ""; actor; now.
password_changed = Signal()


@dataclass(frozen=True, slots=True)
class NewUser:
    """A user as asked for."""

    username: str
    email: str
    password: str
    name: str = ""
    roles: tuple[str, ...] = ()
    status: str = User.Status.DORMANT


def organization_id() -> uuid.UUID:
    """Returns the id of the one organization, and makes it at the first call."""
    organization, _ = Organization.objects.get_or_create(only=True)
    return organization.uuid


def create_user(new: NewUser, *, actor: Actor, now: datetime) -> User:
    """Makes a user.

    Raises: APIError 400 with an entry for each field that is refused, 409 for a used name or
    e-mail address.
    """
    user = User(
        username=new.username,
        email=new.email,
        name=new.name,
        roles=list(new.roles),
        status=new.status,
    )
    problems = [*_field_problems(user), *passwords.problems(new.password, user)]
    if problems:
        raise invalid(*problems)
    user.set_password(new.password)
    with transaction.atomic():
        _insert(user)
        after = {"roles": user.roles, "status": str(user.status)}
        record("user.create", actor=actor, target=target_of(user), now=now, after=after)
    return user


def _insert(user: User) -> None:
    try:
        with transaction.atomic():
            user.save(force_insert=True)
    except IntegrityError as error:
        field = "email" if "user_email_unique" in str(error) else "username"
        raise APIError(
            409,
            "The user exists already.",
            validations=[Validation(field, "This is used already.")],
        ) from None


def create_first_user(new: NewUser, *, actor: Actor, now: datetime) -> User:
    """Makes the first user, an owner. Raises: APIError 409 once anybody exists."""
    with transaction.atomic(), transaction_lock("first-owner"):
        if User.objects.exists():
            raise APIError(409, "The first user exists already.")
        owner = NewUser(
            new.username, new.email, new.password, new.name, (OWNER,), User.Status.ACTIVE
        )
        return create_user(owner, actor=actor, now=now)


def set_status(user: User, status: str, *, actor: Actor, now: datetime) -> User:
    """Sets the status. Raises: APIError 400 for oneself and for the last active owner."""
    if status == User.Status.SUSPENDED and user.id == actor.user_id:
        raise APIError(400, "You cannot suspend yourself.")
    with _keeping_an_owner():
        before = {"status": str(user.status)}
        user.status = status
        user.save(update_fields=["status", "updated_at"])
        record(
            "user.status",
            actor=actor,
            target=target_of(user),
            now=now,
            before=before,
            after={"status": str(status)},
        )
    return user


def set_roles(user: User, names: Sequence[str], *, actor: Actor, now: datetime) -> User:
    """Gives the user exactly these roles; `member`, which everybody is, may be named.

    Raises: APIError 400 for an unknown role, for oneself, and for the last active owner.
    """
    if user.id == actor.user_id:
        raise APIError(400, "You cannot change your own roles.")
    unknown = [name for name in names if name not in DISPLAY_NAMES and name != MEMBER]
    if unknown:
        known = ", ".join(DISPLAY_NAMES)
        raise invalid(Validation("roles", f"{unknown[0][:64]!r} is not a role; {known} are."))
    with _keeping_an_owner():
        before = {"roles": user.roles}
        user.roles = [name for name in DISPLAY_NAMES if name in names]
        user.save(update_fields=["roles", "updated_at"])
        record(
            "user.roles",
            actor=actor,
            target=target_of(user),
            now=now,
            before=before,
            after={"roles": user.roles},
        )
    return user


def set_password(
    user: User, password: str, *, actor: Actor, now: datetime, kept_key_id: str = ""
) -> None:
    """Sets the password and ends every key of the user but the one that the change came with.

    Raises: APIError 400 for a password that is refused.
    """
    problems = passwords.problems_of_change(password, user)
    if problems:
        raise invalid(*problems)
    with transaction.atomic():
        user.set_password(password)
        user.save(update_fields=["password", "updated_at"])
        password_changed.send(User, user=user, kept_key_id=kept_key_id, actor=actor, now=now)
        record("user.password", actor=actor, target=target_of(user), now=now)


def change_own_password(
    user: User, password: str, *, old_password: str, actor: Actor, now: datetime, key_id: str
) -> None:
    """Sets the password of who knows the old one; the key that the change came with stays.

    Raises: APIError 400 for a wrong old password, or a new one that is refused.
    """
    if not old_password:
        raise invalid(Validation("old_password", "Your old password is needed."))
    if not user.check_password(old_password):
        raise invalid(Validation("old_password", "This is not your old password."))
    set_password(user, password, actor=actor, now=now, kept_key_id=key_id)


def delete_user(user: User, *, actor: Actor, now: datetime) -> None:
    """Deletes the user and their keys. Raises: APIError 400 for oneself and the last owner."""
    if user.id == actor.user_id:
        raise APIError(400, "You cannot delete yourself.")
    with _keeping_an_owner():
        target = target_of(user)
        before = {"roles": user.roles, "status": str(user.status)}
        user.delete()
        record("user.delete", actor=actor, target=target, now=now, before=before)


@contextmanager
def _keeping_an_owner() -> Iterator[None]:
    """Refuses a change that takes away the last active owner. Raises: APIError 400.

    The changes run one after another: of two owners who demote each other at once, each would
    still see the other.
    """
    with transaction.atomic(), transaction_lock("owners"):
        had_one = selectors.active_owners().exists()
        yield
        if had_one and not selectors.active_owners().exists():
            raise APIError(400, "The last active owner cannot be taken away.")


def target_of(user: User) -> Target:
    """Names the user for the audit trail."""
    return Target("user", str(user.id), user.username)


def _field_problems(user: User) -> list[Validation]:
    """Checks the fields alone: PostgreSQL says on insert whether a name is used."""
    try:
        user.full_clean(exclude=["password"], validate_unique=False, validate_constraints=False)
    except ValidationError as error:
        return [Validation(field, " ".join(texts)) for field, texts in error.message_dict.items()]
    return []
