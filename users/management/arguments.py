from __future__ import annotations

from django.core.management.base import CommandError

from users.models import User
from users.selectors import user_by_name


def find_user(name: str) -> User:
    """Returns the user with this username or e-mail address. Raises: CommandError."""
    user = user_by_name(name)
    if user is None:
        raise CommandError(f"There is no user {name!r}.")
    return user
