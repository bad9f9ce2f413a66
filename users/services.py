from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from django.contrib.auth.hashers import make_password
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.dispatch import Signal

from audit.services import Actor, Target, record
from kernel.db.connections import transaction_lock
from kernel.http.errors import APIError, Validation, invalid, not_found
from users import passwords, selectors
from users.models import Organization, User
from users.roles import DISPLAY_NAMES, MEMBER, OWNER

# Sent within the transaction that sets a password, to the apps above, which this one may not know.
# Arguments: user; kept_key_id, the id of the key that the change came with, or ""; actor; now.
password_changed = Signal()


@dataclass(frozen=True, slots=True)
class NewUser:
    """A user as asked for. Without a password it is a service account, which has tokens alone."""

    username: str
    email: str
    password: str | None
    name: str = ""
    roles: tuple[str, ...] = ()
    status: str = User.Status.DORMANT


def organization() -> Organization:
    """Returns the one organization, and makes it at the first call."""
    return Organization.objects.get_or_create(only=True)[0]


def organization_id() -> uuid.UUID:
    """Returns the id that every user's answer names."""
    return organization().uuid


def create_user(new: NewUser, *, actor: Actor, now: datetime) -> User:
    """Makes a user.

    Raises: APIError 400 with an entry for each field that is refused, 409 for a used name or
    e-mail address.
    """
    user = _prepared(new)
    with transaction.atomic():
        insert_user(user, actor=actor, now=now)
    return user


def _prepared(new: NewUser) -> User:
    """Returns the user as to be inserted. Hashing comes before any transaction."""
    user = User(
        username=new.username,
        email=new.email,
        name=new.name,
        roles=list(new.roles),
        status=new.status,
    )
    problems = _field_problems(user)
    if new.password is not None:
        problems += passwords.problems(new.password, user)
    if problems:
        raise invalid(*problems)
    user.set_password(new.password)
    return user


def insert_user(user: User, *, actor: Actor, now: datetime) -> None:
    """Inserts a user within the surrounding transaction. Raises: APIError 409 for a used name."""
    try:
        with transaction.atomic():
            user.save(force_insert=True)
    except IntegrityError as error:
        field = "email" if "user_email_unique" in str(error) else "username"
        used = [Validation(field, "This is used already.")]
        raise APIError(409, "The user exists already.", validations=used) from None
    after = {"roles": user.roles, "status": str(user.status), "login_type": str(user.login_type)}
    record("user.create", actor=actor, target=target_of(user), now=now, after=after)


def create_first_user(new: NewUser, *, actor: Actor, now: datetime) -> User:
    """Makes the first user, an owner. Raises: APIError 409 once anybody exists."""
    require_nobody()
    owner = _prepared(replace(new, roles=(OWNER,), status=User.Status.ACTIVE))
    with transaction.atomic(), transaction_lock("first-owner"):
        require_nobody()
        insert_user(owner, actor=actor, now=now)
    return owner


def require_nobody() -> None:
    """Raises: APIError 409 once anybody exists."""
    if selectors.user_exists():
        raise APIError(409, "The first user exists already.")


def lock(user: User) -> User:
    """Returns the user's row, locked until the transaction ends.

    Whoever changes a user or what is theirs locks the user first, so that no two wait for each
    other. Raises: APIError 404 if the user is gone, 409 if their rights or password have changed
    since they were looked at.
    """
    found = User.objects.select_for_update().filter(pk=user.pk).first()
    if found is None:
        raise not_found()
    if (found.roles, found.password) != (user.roles, user.password):
        raise APIError(409, "The user was changed by another request. Try again.")
    return found


def set_status(user: User, status: str, *, actor: Actor, now: datetime) -> User:
    """Sets the status. Raises: APIError 400 for oneself and for the last active owner."""
    if status == User.Status.SUSPENDED and user.id == actor.user_id:
        raise APIError(400, "You cannot suspend yourself.")
    return _change(user, "status", status, actor=actor, now=now)


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
    wanted = [name for name in DISPLAY_NAMES if name in names]
    return _change(user, "roles", wanted, actor=actor, now=now)


def _change(user: User, field: str, value: Any, *, actor: Actor, now: datetime) -> User:
    with keeping_an_owner():
        found = lock(user)
        before = {field: getattr(found, field)}
        setattr(found, field, value)
        found.save(update_fields=[field, "updated_at"])
        target, after = target_of(found), {field: value}
        record(f"user.{field}", actor=actor, target=target, now=now, before=before, after=after)
    return found


def set_password(
    user: User, password: str, *, actor: Actor, now: datetime, kept_key_id: str = ""
) -> None:
    """Sets the password and ends every key of the user but the one that the change came with.

    Raises: APIError 400 for a password that is refused, or for a service account.
    """
    problems = passwords.problems_of_change(password, user)
    if problems:
        raise invalid(*problems)
    hashed = make_password(password)
    with transaction.atomic():
        found = lock(user)
        found.password = hashed
        found.save(update_fields=["password", "updated_at"])
        password_changed.send(User, user=found, kept_key_id=kept_key_id, actor=actor, now=now)
        record("user.password", actor=actor, target=target_of(found), now=now)
    user.password = hashed


def note_failed_sign_in(user: User | None, *, address: str, now: datetime, by: str) -> None:
    """Notes it. A name that nobody has is left out: it may be a password in the wrong field."""
    target = target_of(user) if user else Target("user", "")
    actor, action = Actor(address=address), "user.sign_in_failed"
    record(action, actor=actor, target=target, now=now, after={"by": by})


def change_own_password(
    user: User, password: str, *, old_password: str, actor: Actor, now: datetime, key_id: str
) -> None:
    """Sets the password of who knows the old one; the key that the change came with stays.

    A wrong old password counts as a failed sign-in.
    Raises: APIError 400 for one, or for a new password that is refused, 429 for too many.
    """
    if not user.has_usable_password():
        raise invalid(passwords.NO_PASSWORD)
    if not old_password:
        raise invalid(Validation("old_password", "Your old password is needed."))
    passwords.count_try(actor.address)
    if not user.check_password(old_password):
        note_failed_sign_in(user, address=actor.address, now=now, by="old_password")
        raise invalid(Validation("old_password", "This is not your old password."))
    set_password(user, password, actor=actor, now=now, kept_key_id=key_id)


@contextmanager
def keeping_an_owner() -> Iterator[None]:
    """Refuses a change that takes away the last active owner. Raises: APIError 400.

    The changes run one after another: of two owners who demote each other at once, each would
    still see the other.
    """
    with transaction.atomic(), transaction_lock("owners"):
        had_one = selectors.active_owners().exists()
        yield
        if had_one and not selectors.active_owners().exists():
            raise _last_owner()


def require_another_owner(user: User) -> None:
    """Raises: APIError 400 for the last active owner."""
    owners = selectors.active_owners()
    if owners.filter(pk=user.pk).exists() and not owners.exclude(pk=user.pk).exists():
        raise _last_owner()


def _last_owner() -> APIError:
    return APIError(400, "The last active owner cannot be taken away.")


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
