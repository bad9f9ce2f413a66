"""What tokens do when something happens to their user."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.dispatch import receiver

from audit.services import Actor
from tokens.models import APIKey, TokenConfig
from tokens.services import delete_keys
from users.erasure import Part, register
from users.models import User
from users.signals import password_changed


@receiver(password_changed)
def end_other_keys(user: User, kept_key_id: str, actor: Actor, now: datetime, **more: Any) -> None:
    """Who knew the old password may hold a key, so every key ends but the one in use."""
    others = APIKey.objects.filter(user=user).exclude(id=kept_key_id)
    delete_keys(others, actor=actor, now=now)


for _part in (
    Part(
        what="session tokens",
        fate="erased",
        count=lambda user: APIKey.objects.filter(user=user).count(),
        erase=lambda user: APIKey.objects.filter(user=user).delete(),
    ),
    Part(
        what="token rules",
        fate="erased",
        count=lambda user: TokenConfig.objects.filter(user=user).count(),
        erase=lambda user: TokenConfig.objects.filter(user=user).delete(),
    ),
):
    register(_part)
