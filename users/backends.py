"""Signing in with a password, by e-mail address or username."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.backends import BaseBackend
from django.http import HttpRequest

from users.models import User
from users.passwords import is_right
from users.selectors import user_by_name


class EmailOrUsernameBackend(BaseBackend):
    def authenticate(
        self,
        request: HttpRequest | None,
        username: str | None = None,
        password: str | None = None,
        **more: Any,
    ) -> User | None:
        """The user whose password this is, or None; as slow for a name that nobody has."""
        if not username or not password or "\0" in username:
            return None
        user = user_by_name(username)
        return user if is_right(user, password) and user and user.is_active else None

    def get_user(self, user_id: Any) -> User | None:
        user = User.objects.filter(pk=user_id).first()
        return user if user and user.is_active else None
