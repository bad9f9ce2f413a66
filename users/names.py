"""The normal form of usernames and e-mail addresses, and their validation.

Both are stored, unique and looked up in NFKC and lower case. Otherwise two comparisons could
disagree about a look-alike, such as an address with a long s.
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
# Route names at the place of a username in a path.
RESERVED = frozenset({"me", "first", "login", "logout", "authmethods", "roles"})
# In a path `me` is the caller. The others have routes of their own.
_ROUTES = "|".join(sorted(RESERVED - {"me"}))
USERNAME = r"^[a-z0-9]+(-[a-z0-9]+)*$"
# Printable ASCII without capital letters and quotes. A quoted part could contain anything.
EMAIL = r"^[!#-@\[-~]+$"


def is_uuid(text: str) -> bool:
    try:
        uuid.UUID(text)
    except ValueError:
        return False
    return True


def normal_username(text: str) -> str:
    # NFKC again: lower case can decompose a letter.
    return normalize("NFKC", normalize("NFKC", text).lower())


def normal_email(text: str) -> str:
    """Returns the normal form, with the host in IDNA's ASCII form if it has one."""
    local, at, host = normal_username(text[: 2 * MAX_EMAIL_LENGTH]).rpartition("@")
    with suppress(UnicodeError):
        host = host.encode("idna").decode("ascii")
    return f"{local}{at}{host}"


def validate_username(value: str) -> None:
    """Raises: ValidationError for a malformed or reserved username."""
    if len(value) > MAX_LENGTH or not re.fullmatch(USERNAME, value):
        raise ValidationError(
            "A username must have letters and digits, with single hyphens between them, at most "
            f"{MAX_LENGTH} characters."
        )
    if value in RESERVED or is_uuid(value):
        raise ValidationError(f"You cannot use the username {value}: it is reserved.")


def validate_email(value: str) -> None:
    """Raises: ValidationError for an address with a quoted part or without an ASCII form."""
    if not re.fullmatch(EMAIL, value):
        raise ValidationError(
            "An e-mail address must be ASCII without quotes, with a host name after the @."
        )


class _InNormalForm:
    """Stores and looks up values in the normal form."""

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
    """Matches `{user}` in a path: `me`, a UUID or a username, but no other route."""

    regex = rf"(?!(?:{_ROUTES})(?:/|$))[^/]+"


register_converter(UserConverter, "user")
