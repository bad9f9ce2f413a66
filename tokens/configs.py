"""Changing the rules of the policy, and finding the keys that a change breaks."""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import reduce
from itertools import groupby
from operator import or_
from typing import Any

from django.db import transaction
from django.db.models import Q

from audit.services import Actor, Target, record
from kernel.db.connections import transaction_lock
from kernel.http.errors import APIError
from tokens import policy
from tokens.models import APIKey, TokenConfig
from tokens.policy import LIMITS, Policy, readable, resolve
from tokens.services import expire_keys, shorten_keys
from users.scopes import within


class Existing(StrEnum):
    """The choices for keys that break a new rule."""

    LEAVE = "leave"
    SHORTEN = "shorten"
    EXPIRE = "expire"


REASON = "the token policy changed"


def save_config(
    config: TokenConfig, *, existing: Existing | None, actor: Actor, now: datetime
) -> int:
    """Saves a validated rule. Returns how many keys were shortened or expired with it.

    Raises: APIError 409 if nothing was chosen for keys that break it, and there are some.
    """
    with transaction.atomic(), transaction_lock(policy.LOCK):
        broken = [] if existing is Existing.LEAVE else broken_by(config, now=now)
        if broken and existing is None:
            detail = f"{len(broken)} live tokens break it. Choose what to do with them."
            raise APIError(409, "The rule is not saved.", detail=detail)
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
    """Deletes a rule; keys stay as they are."""
    with transaction.atomic():
        target, before = _target(config), _facts(config)
        config.delete()
        record("token_config.delete", actor=actor, target=target, now=now, before=before)


def settle(
    broken: Iterable[Broken], existing: Existing | None, *, actor: Actor, now: datetime
) -> int:
    """Does to the broken keys what was chosen. Returns how many were changed.

    Shortening helps against a lifetime only; keys that break another limit stay as they are.
    """
    if existing is Existing.EXPIRE:
        keys = [one.key for one in broken]
        return expire_keys(keys, actor=actor, now=now, reason=REASON)
    if existing is not Existing.SHORTEN:
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


@dataclass(frozen=True, slots=True)
class Broken:
    """A live token that would be over a limit, and the reasons. Units: `limit_ns` nanoseconds."""

    key: APIKey
    reasons: tuple[str, ...]
    limit_ns: int

    @property
    def is_too_long(self) -> bool:
        return self.key.lifetime_ns > self.limit_ns


def broken_by(candidate: TokenConfig, *, now: datetime, deleted: bool = False) -> list[Broken]:
    """Returns the live tokens that break the policy once the candidate is saved, or `deleted`.

    By owner, the last used first; with two queries, however many keys there are.
    """
    others = TokenConfig.objects.exclude(pk=candidate.pk).select_related("user")
    # The rule may be about to change hands, so that those it leaves are affected, too.
    before = TokenConfig.objects.filter(pk=candidate.pk) if candidate.pk else []
    chosen = reduce(or_, (_subject(config) for config in (candidate, *before)))
    return _broken(chosen, [*others, *([] if deleted else [candidate])], now=now)


def broken_among(keys: Iterable[APIKey], *, now: datetime) -> dict[str, Broken]:
    """Returns by id the keys that break the policy as it is, with two queries."""
    owners, configs = {key.user_id for key in keys}, TokenConfig.objects.select_related("user")
    return {one.key.pk: one for one in _broken(Q(user_id__in=owners), configs, now=now)}


def _broken(chosen: Q, configs: Iterable[TokenConfig], *, now: datetime) -> list[Broken]:
    of_user: dict[uuid.UUID | None, list[TokenConfig]] = defaultdict(list)
    for config in configs:
        of_user[config.user_id].append(config)
    keys = APIKey.objects.minted().live(now).select_related("user").filter(chosen)
    found: list[Broken] = []
    for user, held in groupby(sorted(keys, key=_by_owner_then_use), key=lambda key: key.user):
        found += _of_user(held, resolve([*of_user[user.id], *of_user[None]], user))
    return found


def _subject(config: TokenConfig) -> Q:
    if config.user_id is not None:
        return Q(user_id=config.user_id)
    return Q(user__roles__contains=[config.role]) if config.role else Q(pk__isnull=False)


def _by_owner_then_use(key: APIKey) -> tuple[str, float, str]:
    return key.user.username, -(key.last_used or key.created_at).timestamp(), key.id


def _of_user(keys: Iterable[APIKey], limits: Policy) -> Iterator[Broken]:
    for rank, key in enumerate(keys):
        reasons = tuple(_reasons(key, rank, limits))
        if reasons:
            yield Broken(key, reasons, limits.max_token_lifetime)


def _reasons(key: APIKey, rank: int, limits: Policy) -> Iterator[str]:
    if key.lifetime_ns > limits.max_token_lifetime:
        lives = readable(policy.MAX_LIFETIME, key.lifetime_ns)
        most = readable(policy.MAX_LIFETIME, limits.max_token_lifetime)
        yield f"lives {lives}, at most {most} are allowed"
    allowed = limits[policy.SCOPES].value
    if allowed is not None and (over := set(key.scopes) - within(key.scopes, allowed)):
        yield f"has the scope {', '.join(sorted(over))}"
    most_live = limits[policy.MAX_LIVE].value
    if most_live is not None and rank >= most_live:
        yield f"is number {rank + 1} by last use, at most {most_live} may live"
