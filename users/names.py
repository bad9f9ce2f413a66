"""Normalizes and validates usernames and e-mail addresses.

The normal form is lower case and Unicode's NFKC. Values are normalized before they are stored,
compared or looked up. Otherwise two comparisons could disagree about similar characters, for
example `s` and the long s.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any
from unicodedata import normalize

from django.core.exceptions import ValidationError
from django.db import models
from django.urls import register_converter
from django.urls.converters import StringConverter

from kernel.text.hosts import ascii_address

MAX_LENGTH = 32
MAX_EMAIL_LENGTH = 254
# Words that other routes use at the position of the username in a path.
RESERVED = frozenset({"me", "first", "login", "logout", "authmethods", "roles"})
# `me` is a reference to the caller. The other words have their own routes.
_ROUTES = "|".join(sorted(RESERVED - {"me"}))
USERNAME = r"^[a-z0-9]+(-[a-z0-9]+)*$"
UUID = r"[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}"
ANY_CASE = r"^[A-Za-z0-9]+(-[A-Za-z0-9]+)*$"
INVALID = (
    f"A username must have 1 to {MAX_LENGTH} letters and digits, with single hyphens between them."
)
# Printable ASCII without capital letters and quotes. Quotes are rejected, because a quoted part of
# an address can contain any character.
EMAIL = r"^[!#-@\[-~]+$"


def is_uuid(text: str) -> bool:
    try:
        uuid.UUID(text)
    except ValueError:
        return False
    return True


def normal_id(text: str) -> str:
    """Returns the normal form of a UUID, because ids are compared as strings.

    Returns any other text unchanged.
    """
    return str(uuid.UUID(text)) if is_uuid(text) else text


def normal_username(text: str) -> str:
    # Apply NFKC a second time, because lower() can decompose a letter.
    return normalize("NFKC", normalize("NFKC", text).lower())


def normal_email(text: str) -> str:
    """Returns the normal form of an e-mail address, with the host in ASCII if possible."""
    return ascii_address(normal_username(text[: 2 * MAX_EMAIL_LENGTH]))


def old_normal_email(text: str) -> str:
    """Returns the form in which 0.1.0 stored the address: its host followed IDNA 2003."""
    local, at, host = normal_username(text[: 2 * MAX_EMAIL_LENGTH]).rpartition("@")
    with suppress(UnicodeError):
        host = host.encode("idna").decode("ascii")
    return f"{local}{at}{host}"


def validate_username(value: str) -> None:
    """Rejects an invalid or reserved username. Raises: ValidationError."""
    if len(value) > MAX_LENGTH or not re.fullmatch(USERNAME, value):
        raise ValidationError(INVALID)
    if value in RESERVED or is_uuid(value):
        raise ValidationError(f"You cannot use the username {value}: it is reserved.")


def validate_email(value: str) -> None:
    """Rejects an address that is not ASCII or that contains quotes. Raises: ValidationError."""
    if not re.fullmatch(EMAIL, value):
        raise ValidationError(
            "An e-mail address must contain only ASCII characters, and no quotes."
        )


class _InNormalForm:
    """A mixin for model fields. Normalizes values before they are stored or looked up."""

    normal: Callable[[str], str]
    # Migrations have Django's own field, so that they import no code of the project.
    path: str

    def deconstruct(self) -> tuple[str, str, Sequence[Any], dict[str, Any]]:
        name, _, args, kwargs = super().deconstruct()  # type: ignore[misc]  # of the field
        return name, self.path, args, kwargs

    def to_python(self, value: Any) -> Any:
        return value and type(self).normal(str(value))

    def get_prep_value(self, value: Any) -> Any:
        return self.to_python(value)


class UsernameField(_InNormalForm, models.CharField[str, str]):
    normal = staticmethod(normal_username)
    path = "django.db.models.CharField"
    default_validators = [validate_username]


class EmailField(_InNormalForm, models.EmailField[str, str]):
    normal = staticmethod(normal_email)
    path = "django.db.models.EmailField"
    default_validators = [*models.EmailField.default_validators, validate_email]


class UserConverter(StringConverter):
    """Matches `{user}` in a path: `me`, a UUID or a username, but no word of another route."""

    regex = rf"(?!(?:{_ROUTES})(?:/|$))[^/]+"


register_converter(UserConverter, "user")
