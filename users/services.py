from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from django.contrib.auth.hashers import make_password
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.dispatch import Signal

from audit.services import Actor, Target, record, user_target
from kernel.db.connections import transaction_lock
from kernel.http.errors import APIError, Validation, invalid, not_found
from kernel.memory import CachedValue, Memory
from users import passwords, selectors
from users.models import Organization, User
from users.roles import DISPLAY_NAMES, OWNER, ROLE_NAMES

# This signal is sent in the transaction that sets a password. Its receivers are in apps that this
# app must not import.
# Arguments: user, actor, now, and kept_key_id: the id of the request's own key, or "".
password_changed = Signal()
NAMES = ("username", "email", "name")


# The row never changes, so no announcement is needed.
ORGANIZATION: Memory[None, Organization] = Memory("organization", capacity=1)


def organization() -> Organization:
    """Returns the only organization. The first call of all processes creates its row."""
    return ORGANIZATION.load(None, lambda: CachedValue(Organization.objects.get_or_create()[0]))


def create_user(user: User, password: str | None, *, actor: Actor, now: datetime) -> None:
    """Creates a user. If `password` is None, the user is a service account.

    Raises: APIError 400 with an entry for each invalid field, 409 if the username or the e-mail
    address is in use.
    """
    _prepare(user, password)
    insert_user(user, actor=actor, now=now)


def _prepare(user: User, password: str | None) -> None:
    """Validates an unsaved user and sets the password.

    Hashes the password, so do not call it in a transaction. Raises: APIError 400.
    """
    problems: list[Validation] = []
    try:
        # The database checks on insert whether names are in use.
        user.full_clean(exclude=["password"], validate_unique=False, validate_constraints=False)
    except ValidationError as error:
        of_field = error.message_dict.items()
        problems = [Validation(field, " ".join(texts)) for field, texts in of_field]
    if password is not None:
        problems += passwords.problems(password, user)
    if problems:
        raise invalid(*problems)
    user.set_password(password)


@contextmanager
def _requiring_unused_names() -> Iterator[None]:
    """Raises: APIError 409 if the username or the e-mail address that is stored is in use."""
    try:
        yield
    except IntegrityError as error:
        field = "email" if "user_email_unique" in str(error) else "username"
        used = [Validation(field, "This is already in use.")]
        raise APIError(409, "The user already exists.", validations=used) from None


@transaction.atomic
def insert_user(user: User, *, actor: Actor, now: datetime, generated: bool = False) -> None:
    """Inserts the user. Raises: APIError 409 if the username or the e-mail address is in use.

    If the password was `generated`, the audit entry says so.
    """
    with _requiring_unused_names():
        user.save(force_insert=True)
    after = {"roles": user.roles, "status": str(user.status), "login_type": str(user.login_type)}
    after |= {"password": "generated"} if generated else {}
    record("user.create", actor=actor, target=target_of(user), now=now, after=after)


def create_first_user(
    user: User, password: str, *, actor: Actor, now: datetime, generated: bool = False
) -> None:
    """Creates the first user, with the role owner. Raises: APIError 409 if a user exists."""
    user.roles = [OWNER]
    _prepare(user, password)
    with transaction.atomic(), transaction_lock("first-owner"):
        require_no_user()
        insert_user(user, actor=actor, now=now, generated=generated)


def require_no_user() -> None:
    """Requires that no user exists. Raises: APIError 409."""
    if selectors.user_exists():
        raise APIError(409, "The first user already exists.")


def lock_user(user: User) -> User:
    """Locks the user's row until the transaction ends, and returns the current row.

    Code that changes a user or the user's keys locks the user first, to prevent deadlocks.
    Raises: APIError 404 if the user was deleted, 409 if the stored roles or password differ
    from those of `user`.
    """
    found = User.objects.select_for_update().filter(pk=user.pk).first()
    if found is None:
        raise not_found()
    if (found.roles, found.password) != (user.roles, user.password):
        raise APIError(409, "The user was changed by another request. Try again.")
    return found


def set_names(user: User, wanted: User, *, actor: Actor, now: datetime) -> None:
    """Gives a locked user the names and the e-mail address of `wanted`.

    The audit entry contains no address and no full name, because entries outlive an erased user.
    Raises: APIError 409 if the username or the address is in use.
    """
    changed = [name for name in NAMES if getattr(user, name) != getattr(wanted, name)]
    if not changed:
        return
    before = {"username": user.username}
    for name in changed:
        setattr(user, name, getattr(wanted, name))
    with _requiring_unused_names():
        user.save(update_fields=[*changed, "updated_at"])
    target, after = target_of(user), {"username": user.username, "changed": changed}
    record("user.rename", actor=actor, target=target, now=now, before=before, after=after)


def set_status(user: User, status: str, *, actor: Actor, now: datetime) -> User:
    """Sets the user's status.

    Raises: APIError 400 if callers suspend themselves or the last active owner.
    """
    if status == User.Status.SUSPENDED and user.id == actor.user_id:
        raise APIError(400, "You cannot suspend yourself.")
    return _change(user, "status", status, actor=actor, now=now)


def set_roles(user: User, names: Sequence[str], *, actor: Actor, now: datetime) -> User:
    """Replaces the user's roles. Ignores `member`, because every user has this role.

    Raises: APIError 400 for an unknown role, for the caller's own account, or if no active owner
    would remain.
    """
    if user.id == actor.user_id:
        raise APIError(400, "You cannot change your own roles.")
    return _change(user, "roles", roles_named(names), actor=actor, now=now)


def roles_named(names: Sequence[str]) -> list[str]:
    """Returns the roles with these names as they are stored: in order, without `member`.

    Raises: APIError 400 for an unknown role.
    """
    unknown = [name for name in names if name not in ROLE_NAMES]
    if unknown:
        known = ", ".join(DISPLAY_NAMES)
        raise invalid(Validation("roles", f"{unknown[0][:64]!r} is not a role. Roles: {known}."))
    return [name for name in DISPLAY_NAMES if name in names]


def _change(user: User, field: str, value: Any, *, actor: Actor, now: datetime) -> User:
    if user.is_copy:
        raise APIError(400, f"{user.username} is a user of Coder. Change the {field} there.")
    with keeping_an_owner():
        found = lock_user(user)
        before = {field: getattr(found, field)}
        if before == {field: value}:
            return found
        setattr(found, field, value)
        found.save(update_fields=[field, "updated_at"])
        target, after = target_of(found), {field: value}
        record(f"user.{field}", actor=actor, target=target, now=now, before=before, after=after)
    return found


def set_password(
    user: User, password: str, *, actor: Actor, now: datetime, kept_key_id: str = ""
) -> None:
    """Sets the password and deletes the user's keys, except `kept_key_id`.

    Raises: APIError 400 for an invalid password, or for a service account.
    """
    if problems := passwords.problems(password, user):
        raise invalid(*problems)
    hashed = make_password(password)
    with transaction.atomic():
        found = lock_user(user)
        found.password = hashed
        found.save(update_fields=["password", "updated_at"])
        password_changed.send(User, user=found, kept_key_id=kept_key_id, actor=actor, now=now)
        record("user.password", actor=actor, target=target_of(found), now=now)
    user.password = hashed


def note_failed_sign_in(user: User | None, *, address: str, now: datetime, by: str) -> None:
    """Records a failed sign-in in the audit trail.

    An unknown username is not recorded, because it may be a password in the wrong input field.
    """
    target = target_of(user) if user else Target("user", "")
    actor, action = Actor(address=address), "user.sign_in_failed"
    record(action, actor=actor, target=target, now=now, after={"by": by})


def change_own_password(
    user: User, password: str, *, old_password: str, actor: Actor, now: datetime, key_id: str
) -> None:
    """Sets the user's password if the old password is correct.

    Deletes the user's keys, except `key_id`. A wrong old password is recorded as a failed sign-in.
    Raises: APIError 400 for a wrong old password or an invalid new one, 429 for too many attempts.
    """
    if not user.has_usable_password():
        raise invalid(Validation("password", passwords.NO_PASSWORD))
    if not old_password:
        raise invalid(Validation("old_password", "Enter your current password."))
    passwords.count_try(actor.address)
    if not user.check_password(old_password):
        note_failed_sign_in(user, address=actor.address, now=now, by="old_password")
        raise invalid(Validation("old_password", "This is not your current password."))
    set_password(user, password, actor=actor, now=now, kept_key_id=key_id)


@contextmanager
def keeping_an_owner() -> Iterator[None]:
    """Runs the block in a transaction, and rolls back if it removes the last active owner.

    Only one such block runs at a time. Otherwise two owners could remove each other's role at the
    same time. Raises: APIError 400 if the last active owner was removed.
    """
    with transaction.atomic(), transaction_lock("owners"):
        had_one = selectors.active_owners().exists()
        yield
        if had_one and not selectors.active_owners().exists():
            raise _last_owner()


def require_another_owner(user: User) -> None:
    """Requires that the user is not the last active owner. Raises: APIError 400."""
    owners = selectors.active_owners()
    if owners.filter(pk=user.pk).exists() and not owners.exclude(pk=user.pk).exists():
        raise _last_owner()


def _last_owner() -> APIError:
    return APIError(400, "You cannot remove the last active owner.")


def target_of(user: User) -> Target:
    """Returns the user as the target of an audit entry."""
    return user_target(user.id, user.username)
