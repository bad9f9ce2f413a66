"""Signing in to the admin by e-mail address or username, noted in the audit trail."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.backends import BaseBackend
from django.contrib.auth.signals import user_logged_in, user_logged_out, user_login_failed
from django.dispatch import receiver
from django.http import HttpRequest
from django.utils import timezone

from audit.services import Actor, record
from users.models import User
from users.passwords import is_right
from users.selectors import user_by_name
from users.services import note_failed_sign_in, target_of


class EmailOrUsernameBackend(BaseBackend):
    def authenticate(
        self,
        request: HttpRequest | None,
        username: str | None = None,
        password: str | None = None,
        **more: Any,
    ) -> User | None:
        """Returns the user whose password this is, or None; an unknown name takes as long."""
        if not username or not password or "\0" in username:
            return None
        user = user_by_name(username)
        return user if is_right(user, password) and user and user.is_active else None

    def get_user(self, user_id: Any) -> User | None:
        user = User.objects.filter(pk=user_id).first()
        return user if user and user.is_active else None


@receiver(user_logged_in)
def note_sign_in(request: HttpRequest, user: User, **more: Any) -> None:
    _note("user.sign_in", request, user)


@receiver(user_logged_out)
def note_sign_out(request: HttpRequest, user: User | None, **more: Any) -> None:
    if user is not None:
        _note("user.sign_out", request, user)


@receiver(user_login_failed)
def note_failure(
    credentials: dict[str, Any], request: HttpRequest | None = None, **more: Any
) -> None:
    user = user_by_name(str(credentials.get("username", "")))
    address = getattr(request, "client_address", "")
    note_failed_sign_in(user, address=address, now=timezone.now(), by="admin")


def _note(action: str, request: HttpRequest, user: User) -> None:
    # A sign-in without our middleware before it, as a test makes, has no address.
    actor = Actor(user.pk, user.username, getattr(request, "client_address", ""))
    record(action, actor=actor, target=target_of(user), now=timezone.now(), after={"by": "admin"})
