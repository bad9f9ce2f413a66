"""Stores the users of Coder as copies, so that token policies and the admin can refer to them.

A copy has Coder's id, and no password. Users of this service keep their names: if one of them
has the username or the e-mail address of a copy, the copy gets a substitute that contains its id.
The same applies to names that are not valid here.
"""

from __future__ import annotations

import logging
import uuid
from typing import Any, cast

from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Field
from django.db.models.functions import Now

from kernel.db.connections import transaction_lock
from users import names
from users.models import User
from users.roles import DISPLAY_NAMES
from users.selectors import user_by_id

log = logging.getLogger(__name__)


# The columns of a copy that have Coder's values.
COPIED = ("source", "status", "username", "email", "name", "avatar_url", "roles")


def substitute(field: str, user_id: uuid.UUID) -> str:
    """Returns the value to store if Coder's value is invalid, or if another user has it."""
    username = f"coder-{user_id.hex[:26]}"
    return username if field == "username" else f"{username}@coder.invalid"


def read_person(value: Any) -> User:
    """Parses a user from the JSON of Coder. Ignores roles that this service does not know.

    Raises: an error of OTHER_FORM.
    """
    # Roles with an organization apply only in this organization.
    site = {role["name"] for role in value["roles"] or () if not role.get("organization_id")}
    return User(
        id=uuid.UUID(value["id"]),
        source=User.Source.CODER,
        username=names.normal_username(text_of(value["username"], 64)),
        email=names.normal_email(text_of(value.get("email"), 512)),
        name=text_of(value.get("name"), 128),
        avatar_url=text_of(value.get("avatar_url"), 200),
        roles=[role for role in DISPLAY_NAMES if role in site],
    )


def text_of(value: object, limit: int) -> str:
    if not isinstance(value, str | None):
        raise TypeError
    return (value or "").replace("\0", "")[:limit]


def mirror(person: User) -> None:
    """Stores the person if anything has changed. Sets the name to the one that is stored.

    Usually takes one query and writes nothing.
    """
    stored = user_by_id(person.id)
    if stored is not None and stored.source != User.Source.CODER:
        log.warning("The user %s of Coder is not stored: another user has the same id", person.id)
    elif stored is None or _facts(stored) != _facts(person):
        with transaction.atomic(), transaction_lock("users-of-coder"):
            _store(person)


def _facts(person: User) -> dict[str, Any]:
    return {name: getattr(person, name) for name in COPIED}


def _store(person: User) -> None:
    person.username = _free("username", person)
    person.email = _free("email", person)
    stored = user_by_id(person.id)
    if stored is None:
        person.set_unusable_password()
        person.save(force_insert=True)
    elif _facts(stored) != _facts(person):
        User.objects.filter(pk=person.id).update(**_facts(person), updated_at=Now())


def _free(field: str, person: User) -> str:
    """Returns the person's name, or its substitute if the name is invalid or in use here.

    Coder's names are unique. So another copy with this name is outdated, and gets its substitute.
    """
    wanted: str = getattr(person, field)
    try:
        cast("Field[Any, Any]", User._meta.get_field(field)).clean(wanted, None)
    except ValidationError:
        return substitute(field, person.id)
    holder = User.objects.filter(**{field: wanted}).exclude(pk=person.id).first()
    if holder is None:
        return wanted
    if holder.source != User.Source.CODER:
        return substitute(field, person.id)
    User.objects.filter(pk=holder.id).update(**{field: substitute(field, holder.id)})
    return wanted
