"""What a username may be."""

from __future__ import annotations

import re
import uuid

from django.core.exceptions import ValidationError

MAX_LENGTH = 32
# These words stand in the same place of a path as a username.
RESERVED = frozenset({"me", "first", "login", "logout", "authmethods"})
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
