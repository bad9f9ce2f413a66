"""How long a user's tokens may live, and which rule says so."""

from __future__ import annotations

import uuid
from collections.abc import Collection
from dataclasses import dataclass

from django.conf import settings
from django.db.models import Q

from tokens.models import TokenConfig
from users.roles import OWNER


@dataclass(frozen=True, slots=True)
class Limit:
    """The longest lifetime, in nanoseconds, and the rule that won."""

    max_token_lifetime: int
    rule: str


def token_limit(user_id: uuid.UUID, roles: Collection[str]) -> Limit:
    """The limit on the lifetime of this user's tokens, by one query.

    The user's own config wins; else the strictest of the roles'; else the deployment's; else the
    option for owners or for everybody. Units: nanoseconds. Source: the contract's tokenconfig.
    """
    configs = list(
        TokenConfig.objects.filter(
            Q(user_id=user_id) | Q(user__isnull=True, role__in=["", *roles])
        ).select_related("user")
    )
    winner = _winner(configs, user_id)
    if winner is not None:
        return Limit(winner.max_token_lifetime, winner.subject)
    if OWNER in roles:
        return Limit(settings.MAX_ADMIN_TOKEN_LIFETIME_NS, "CODER_MAX_ADMIN_TOKEN_LIFETIME")
    return Limit(settings.MAX_TOKEN_LIFETIME_NS, "CODER_MAX_TOKEN_LIFETIME")


def _winner(configs: list[TokenConfig], user_id: uuid.UUID) -> TokenConfig | None:
    own = [config for config in configs if config.user_id == user_id]
    by_role = [config for config in configs if config.role]
    deployment = [config for config in configs if config.user_id is None and not config.role]
    return min(own or by_role or deployment, key=lambda c: c.max_token_lifetime, default=None)
