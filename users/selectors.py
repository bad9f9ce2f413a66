from __future__ import annotations

import uuid
from dataclasses import dataclass
from functools import reduce
from operator import or_

from django.db.models import Q, QuerySet

from kernel.http.errors import APIError, Validation, invalid
from kernel.http.identity import Identity
from users import roles
from users.models import User
from users.names import is_uuid

ME = "me"
DEFAULT_LIMIT = 25
MAX_LIMIT = 1000
MAX_WORDS = 20


def unknown_user() -> APIError:
    """Makes the 400 for a user in the path who does not exist or may not be seen.

    Coder's clients search for these very words and take the 400 for "not found".
    """
    return APIError(400, "The user in the path must be an existing uuid or username.")


def user_in_path(reference: str, *, viewer: Identity) -> User:
    """Returns the user that `me`, a UUID or a username in any case stands for.

    Raises: APIError 400, alike for a user who does not exist and for one who may not be seen.
    Source: the contract's rule for `{user}`.
    """
    user = _lookup(reference, viewer)
    if user is None:
        raise unknown_user()
    if user.id != viewer.user_id and not roles.may(viewer.roles, "user:read"):
        raise unknown_user()
    return user


def _lookup(reference: str, viewer: Identity) -> User | None:
    if reference == ME:
        return User.objects.filter(id=viewer.user_id).first()
    if is_uuid(reference):
        return User.objects.filter(id=uuid.UUID(reference)).first()
    if "\0" in reference:
        return None
    return User.objects.filter(username__iexact=reference).first()


def user_by_name(name: str) -> User | None:
    """Returns the user of that username or e-mail address, in any case, or None."""
    if not name or "\0" in name:
        return None
    return User.objects.filter(Q(username__iexact=name) | Q(email__iexact=name)).first()


def user_by_email(email: str) -> User | None:
    """Returns the user of that e-mail address, in any case, or None."""
    return User.objects.filter(email__iexact=email).first() if email else None


def user_exists() -> bool:
    """Tells if anybody has been created yet."""
    return User.objects.exists()


def active_owners() -> QuerySet[User]:
    """Returns the owners who may sign in."""
    return User.objects.filter(roles__contains=[roles.OWNER]).exclude(status=User.Status.SUSPENDED)


@dataclass(frozen=True, slots=True)
class Page:
    """One page of the users found, and the number of all that were found."""

    users: list[User]
    count: int


def search(
    query: str, *, ids: frozenset[str] | None = None, limit: int = DEFAULT_LIMIT, offset: int = 0
) -> Page:
    """Returns the users that match all words of the query, by name; `ids` limits them further.

    A word `status:…` or `role:…` chooses by values with commas between them. Any other word must be
    part of the username, the name or the e-mail address.
    Raises: APIError 400 for an unknown key or value.
    """
    found = User.objects.filter(*_conditions(query))
    if ids is not None:
        found = found.filter(id__in=[i for i in ids if is_uuid(i)])
    return Page(list(found.order_by("username")[offset : offset + limit]), found.count())


def _conditions(query: str) -> list[Q]:
    if "\0" in query:
        raise invalid(Validation("q", "A search holds no NUL character."))
    words = query.split()
    if len(words) > MAX_WORDS:
        raise invalid(Validation("q", f"A search has at most {MAX_WORDS} words."))
    return [_condition(word) for word in words]


def _condition(word: str) -> Q:
    key, colon, text = word.partition(":")
    if not colon:
        return Q(username__icontains=word) | Q(email__icontains=word) | Q(name__icontains=word)
    values = text.lower().split(",")
    if key == "status":
        _check(values, known=User.Status.values, key=key)
        return Q(status__in=values)
    if key == "role":
        _check(values, known=[*roles.DISPLAY_NAMES, roles.MEMBER], key=key)
        return reduce(or_, (_of_role(value) for value in values))
    raise invalid(Validation("q", f"{key[:64]!r} cannot be searched for; status and role can."))


def _check(values: list[str], *, known: list[str], key: str) -> None:
    for value in values:
        if value not in known:
            names = ", ".join(known)
            raise invalid(Validation("q", f"{key} {value[:64]!r} is not one of {names}."))


def _of_role(role: str) -> Q:
    # Everybody is a member.
    return Q() if role == roles.MEMBER else Q(roles__contains=[role])
