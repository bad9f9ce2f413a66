"""Usernames: what they may be, and where they stand in a path."""

from __future__ import annotations

import re
import uuid

from django.core.exceptions import ValidationError
from django.urls import register_converter
from django.urls.converters import StringConverter

MAX_LENGTH = 32
# These words stand in the same place of a path as a username.
RESERVED = frozenset({"me", "first", "login", "logout", "authmethods"})
# `me` stands for the caller, so it is a user there; the others have routes of their own.
_ROUTES = "|".join(sorted(RESERVED - {"me"}))
_PATTERN = re.compile(r"[A-Za-z0-9]+(?:-[A-Za-z0-9]+)*")


def is_uuid(text: str) -> bool:
    try:
        uuid.UUID(text)
    except ValueError:
        return False
    return True


def validate_username(value: str) -> None:
    """Raises: ValidationError unless it is letters, digits and single hyphens between them."""
    if len(value) > MAX_LENGTH or not _PATTERN.fullmatch(value):
        raise ValidationError(
            "A username is letters, digits and single hyphens between them, at most "
            f"{MAX_LENGTH} characters."
        )
    if value.lower() in RESERVED or is_uuid(value):
        raise ValidationError(f"{value} has another meaning where usernames stand.")


class UserConverter(StringConverter):
    """The `{user}` of a path: `me`, a UUID or a username; no word that has a route of its own."""

    regex = rf"(?!(?:{_ROUTES})(?:/|$))[^/]+"


register_converter(UserConverter, "user")
