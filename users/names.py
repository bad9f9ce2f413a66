"""Usernames and e-mail addresses: their one normal form, and what a username may be.

Both are stored, unique and looked up in the normal form, NFKC in lower case. Else an address with a
long s would be another user's to one comparison, and to the next one the owner's.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from unicodedata import normalize

from django.core.exceptions import ValidationError
from django.db import models
from django.urls import register_converter
from django.urls.converters import StringConverter

MAX_LENGTH = 32
MAX_EMAIL_LENGTH = 254
# These words stand in the same place of a path as a username.
RESERVED = frozenset({"me", "first", "login", "logout", "authmethods", "roles"})
# `me` stands for the caller, so it is a user there; the others have routes of their own.
_ROUTES = "|".join(sorted(RESERVED - {"me"}))
USERNAME = r"^[a-z0-9]+(-[a-z0-9]+)*$"
# Printable ASCII without capital letters, and without quotes, in which all could stand.
EMAIL = r"^[!#-@\[-~]+$"


def is_uuid(text: str) -> bool:
    try:
        uuid.UUID(text)
    except ValueError:
        return False
    return True


def normal_username(text: str) -> str:
    # Once more, because lower case can take a letter apart.
    return normalize("NFKC", normalize("NFKC", text).lower())


def normal_email(text: str) -> str:
    """Returns the address with its host in IDNA's ASCII form, where the host has one."""
    local, at, host = normal_username(text[: 2 * MAX_EMAIL_LENGTH]).rpartition("@")
    with suppress(UnicodeError):
        host = host.encode("idna").decode("ascii")
    return f"{local}{at}{host}"


def validate_username(value: str) -> None:
    """Raises: ValidationError unless it is letters, digits and single hyphens between them."""
    if len(value) > MAX_LENGTH or not re.fullmatch(USERNAME, value):
        raise ValidationError(
            "A username is letters, digits and single hyphens between them, at most "
            f"{MAX_LENGTH} characters."
        )
    if value in RESERVED or is_uuid(value):
        raise ValidationError(f"{value} has another meaning where usernames stand.")


def validate_email(value: str) -> None:
    """Raises: ValidationError for an address that has no ASCII form, or a quoted part."""
    if not re.fullmatch(EMAIL, value):
        raise ValidationError(
            "An e-mail address is ASCII without quotes before the @, and a host name after it."
        )


class _InNormalForm:
    """Stores and looks up a column's values in the normal form."""

    normal: Callable[[str], str]

    def to_python(self, value: Any) -> Any:
        return value and type(self).normal(str(value))

    def get_prep_value(self, value: Any) -> Any:
        return self.to_python(value)


class UsernameField(_InNormalForm, models.CharField[str, str]):
    normal = staticmethod(normal_username)


class EmailField(_InNormalForm, models.EmailField[str, str]):
    normal = staticmethod(normal_email)


class UserConverter(StringConverter):
    """The `{user}` of a path: `me`, a UUID or a username; no word that has a route of its own."""

    regex = rf"(?!(?:{_ROUTES})(?:/|$))[^/]+"


register_converter(UserConverter, "user")
