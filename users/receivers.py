"""Notes in the audit trail who signs in to the admin, and who fails to."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.signals import user_logged_in, user_logged_out, user_login_failed
from django.dispatch import receiver
from django.http import HttpRequest
from django.utils import timezone

from audit.services import Actor, Target, record
from users.models import User
from users.selectors import user_by_name
from users.services import target_of


def _actor(request: HttpRequest | None, user: User | None) -> Actor:
    # Signing in without our middleware before it, as a command or a test does, has no address.
    address = getattr(request, "client_address", "")
    return Actor(
        user_id=user.id if user else None, name=user.username if user else "", address=address
    )


@receiver(user_logged_in)
def note_sign_in(request: HttpRequest, user: User, **more: Any) -> None:
    record_sign_in("user.sign_in", user, actor=_actor(request, user))


@receiver(user_logged_out)
def note_sign_out(request: HttpRequest, user: User | None, **more: Any) -> None:
    if user is not None:
        record_sign_in("user.sign_out", user, actor=_actor(request, user))


@receiver(user_login_failed)
def note_failure(
    credentials: dict[str, Any], request: HttpRequest | None = None, **more: Any
) -> None:
    user = user_by_name(str(credentials.get("username", "")))
    record_sign_in("user.sign_in_failed", user, actor=_actor(request, None))


def record_sign_in(action: str, user: User | None, *, actor: Actor) -> None:
    """A name that nobody has is not kept: it may be a password in the wrong field."""
    target = target_of(user) if user else Target("user", "")
    record(action, actor=actor, target=target, now=timezone.now(), after={"by": "admin"})
