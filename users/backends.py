"""Signing in to the admin by e-mail address or username, noted in the audit trail."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.backends import BaseBackend
from django.contrib.auth.signals import user_logged_in, user_logged_out, user_login_failed
from django.dispatch import receiver
from django.http import HttpRequest
from django.utils import timezone

from audit.services import Actor, Target, record
from users.models import User
from users.passwords import is_right
from users.selectors import user_by_name
from users.services import target_of


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
    _note("user.sign_in", request, actor=user, target=user)


@receiver(user_logged_out)
def note_sign_out(request: HttpRequest, user: User | None, **more: Any) -> None:
    if user is not None:
        _note("user.sign_out", request, actor=user, target=user)


@receiver(user_login_failed)
def note_failure(
    credentials: dict[str, Any], request: HttpRequest | None = None, **more: Any
) -> None:
    user = user_by_name(str(credentials.get("username", "")))
    _note("user.sign_in_failed", request, actor=None, target=user)


def _note(
    action: str, request: HttpRequest | None, *, actor: User | None, target: User | None
) -> None:
    """Notes it. A name that nobody has is left out: it may be a password in the wrong field."""
    # A sign-in without our middleware before it, as a command or a test makes, has no address.
    address = getattr(request, "client_address", "")
    who = Actor(actor.pk, actor.username, address) if actor else Actor(address=address)
    what = target_of(target) if target else Target("user", "")
    record(action, actor=who, target=what, now=timezone.now(), after={"by": "admin"})
