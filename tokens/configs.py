"""Changing the policy, and what becomes of the keys that the change breaks."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum
from itertools import groupby
from typing import Any

from django.db import transaction

from audit.services import Actor, Target, record
from tokens.breaking import Broken, broken_by
from tokens.models import TokenConfig
from tokens.policy import LIMITS
from tokens.services import expire_keys, shorten_keys


class Existing(StrEnum):
    """What becomes of the keys that break a new policy."""

    LEAVE = "leave"
    SHORTEN = "shorten"
    EXPIRE = "expire"


REASON = "the token policy changed"


def save_config(config: TokenConfig, *, existing: Existing, actor: Actor, now: datetime) -> int:
    """How many keys were shortened or expired with the change. The config has been validated."""
    with transaction.atomic():
        broken = [] if existing is Existing.LEAVE else broken_by(config, now=now)
        before = TokenConfig.objects.filter(pk=config.pk).first() if config.pk else None
        config.save()
        record(
            "token_config.set",
            actor=actor,
            target=_target(config),
            now=now,
            before=_facts(before) if before else None,
            after=_facts(config),
        )
        return settle(broken, existing, actor=actor, now=now)


def delete_config(config: TokenConfig, *, actor: Actor, now: datetime) -> None:
    """Takes a rule away; keys stay as they are."""
    with transaction.atomic():
        target, before = _target(config), _facts(config)
        config.delete()
        record("token_config.delete", actor=actor, target=target, now=now, before=before)


def settle(broken: Iterable[Broken], existing: Existing, *, actor: Actor, now: datetime) -> int:
    """How many of the broken keys were changed.

    Shortening helps against a lifetime only; keys that break another limit stay as they are.
    """
    if existing is Existing.EXPIRE:
        keys = [one.key for one in broken]
        return expire_keys(keys, actor=actor, now=now, reason=REASON)
    if existing is Existing.LEAVE:
        return 0
    by_limit = sorted((one for one in broken if one.is_too_long), key=lambda one: one.limit_ns)
    return sum(
        shorten_keys(
            [one.key for one in group], lifetime_ns=limit, actor=actor, now=now, reason=REASON
        )
        for limit, group in groupby(by_limit, key=lambda one: one.limit_ns)
    )


def _target(config: TokenConfig) -> Target:
    return Target("token_config", str(config.pk), config.subject)


def _facts(config: TokenConfig) -> dict[str, Any]:
    return {name: getattr(config, name) for name in LIMITS}
