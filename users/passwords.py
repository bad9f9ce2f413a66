"""Rules for passwords, and checking one."""

from __future__ import annotations

from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError

from kernel.http.errors import Validation
from users.models import User

MIN_LENGTH = 8
MAX_LENGTH = 64


def problems(password: str, user: User) -> list[Validation]:
    """Returns why the user may not have that password: an entry, or none."""
    if not MIN_LENGTH <= len(password) <= MAX_LENGTH:
        detail = f"A password has {MIN_LENGTH} to {MAX_LENGTH} characters."
        return [Validation("password", detail)]
    try:
        validate_password(password, user)
    except ValidationError as error:
        return [Validation("password", " ".join(error.messages))]
    return []


def problems_of_change(password: str, user: User) -> list[Validation]:
    """Returns the same for a new password, which must not be the old one."""
    found = problems(password, user)
    if not found and user.check_password(password):
        return [Validation("password", "This is the old password.")]
    return found


def is_right(user: User | None, password: str) -> bool:
    """Tells if this is the user's password; takes as long where there is no user."""
    if user is None:
        User().set_password(password)
        return False
    return user.check_password(password)
