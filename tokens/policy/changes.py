"""Changes token policies, and finds the live tokens that violate them."""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import datetime
from functools import reduce
from operator import or_
from typing import Any, NamedTuple

from django.conf import settings
from django.db import transaction
from django.db.models import Q, TextChoices
from django.db.models.functions import Coalesce

from audit.services import Actor, Target, is_same, record
from kernel.db.connections import fetch
from kernel.http.errors import APIError
from kernel.text.humanize import duration, plural
from tokens.models import APIKey, TokenConfig
from tokens.policy import resolution
from tokens.policy.resolution import LIMITS, Policy, resolve
from tokens.services import expire_keys, shorten_keys
from users.scopes import within
from users.services import lock_user

REASON = "the token policy changed"
# The rank of each key among its user's live minted keys, by last use.
RANKS = """
SELECT id, rank FROM (
    SELECT id, row_number() OVER (
        PARTITION BY user_id ORDER BY coalesce(last_used, created_at) DESC, id
    ) AS rank
    FROM tokens_apikey WHERE is_minted AND expires_at >= %s AND user_id = ANY (%s)
) AS ranked WHERE id = ANY (%s)
"""


class OnViolation(TextChoices):
    """The action for live tokens that violate a new policy."""

    LEAVE = "leave", "leave unchanged"
    SHORTEN = "shorten", "shorten those with a longer lifetime"
    EXPIRE = "expire", "revoke now"


@transaction.atomic
def save_config(
    config: TokenConfig, *, on_violation: str | None, actor: Actor, now: datetime
) -> int:
    """Saves a validated policy. Returns the number of tokens that were shortened or expired.

    `on_violation` is a value of `OnViolation`, or None. Raises: APIError 404 if the user was
    deleted; 409 if another request changed the user, or if `on_violation` is None and live tokens
    violate the policy.
    """
    resolution.increase_version()
    if config.user:  # The foreign key would lock the user only at the commit.
        lock_user(config.user)
    violations = [] if on_violation == OnViolation.LEAVE else violations_of(config, now=now)
    if violations and on_violation is None:
        tokens = plural(len(violations), "live token")
        detail = f"{tokens} would violate it. Choose what to do with existing tokens."
        raise APIError(409, "The token policy was not saved.", detail=detail)
    old = TokenConfig.objects.filter(pk=config.pk).first()
    if not is_same(config, old):
        config.save()
        target, before, after = _target(config), _facts(old) if old else None, _facts(config)
        record("token_config.set", actor=actor, target=target, now=now, before=before, after=after)
    return _enforce(violations, on_violation, actor=actor, now=now)


def delete_config(config: TokenConfig, *, actor: Actor, now: datetime) -> None:
    """Deletes a policy. Existing tokens do not change."""
    with transaction.atomic():
        resolution.increase_version()
        target, before = _target(config), _facts(config)
        config.delete()
        record("token_config.delete", actor=actor, target=target, now=now, before=before)


def _enforce(
    violations: Sequence[Violation], action: str | None, *, actor: Actor, now: datetime
) -> int:
    """Expires or shortens the tokens. Returns the number of changed tokens.

    SHORTEN changes only tokens with a lifetime above the maximum. It does not change tokens that
    violate another limit.
    """
    about: dict[str, Any] = {"actor": actor, "now": now, "reason": REASON}
    if action == OnViolation.EXPIRE:
        return expire_keys([one.key for one in violations], **about)
    if action == OnViolation.SHORTEN:
        return shorten_keys({one.key: one.limit_ns for one in violations}, **about)
    return 0


def _target(config: TokenConfig) -> Target:
    name = config.user.username if config.user else ""
    return Target("token_config", str(config.pk), config.subject, config.user_id, name)


def _facts(config: TokenConfig) -> dict[str, Any]:
    return {"subject": config.subject} | {name: getattr(config, name) for name in LIMITS}


class Violation(NamedTuple):
    """A live token that violates limits. `reasons` has one clause for each violated limit.

    `limit_ns` is the maximum lifetime. Units: nanoseconds.
    """

    key: APIKey
    reasons: tuple[str, ...]
    limit_ns: int


def violations_of(candidate: TokenConfig | None, *, now: datetime) -> list[Violation]:
    """Returns the live tokens that would violate a limit after the candidate is saved.

    For None, returns those that violate the current policy. The tokens are sorted by owner, then by
    last use, most recent first. Reads only tokens that can violate a limit, with two or three
    queries.
    """
    configs = list(TokenConfig.objects.select_related("user"))
    if candidate:
        # The candidate replaces a stored policy, which may apply to other users. Check their tokens
        # too, because their limits also change.
        replaced = [config for config in configs if config.pk == candidate.pk]
        chosen = reduce(or_, map(_subject, [candidate, *replaced]))
        configs = [*(config for config in configs if config not in replaced), candidate]
    else:
        smallest = min(settings.MAX_TOKEN_LIFETIME_NS, settings.MAX_ADMIN_TOKEN_LIFETIME_NS)
        chosen = reduce(or_, map(_subject, configs), Q(lifetime_ns__gt=smallest))
    last_use = Coalesce("last_used", "created_at").desc()
    keys = APIKey.objects.minted().live(now).select_related("user").filter(chosen)
    return _violations(list(keys.order_by("user__username", last_use, "id")), configs, now=now)


def violations_among(keys: Iterable[APIKey], *, now: datetime) -> dict[str, Violation]:
    """Returns the violations of the current policy among the keys, by key id.

    Takes one query, and another one if the number of live tokens of an owner is limited.
    """
    live = [key for key in keys if key.is_minted and not key.is_expired(now)]
    of_owners = Q(user__in={key.user_id for key in live}) | Q(user=None)
    configs = TokenConfig.objects.filter(of_owners).select_related("user")
    return {one.key.pk: one for one in _violations(live, configs, now=now)}


def _violations(
    keys: Sequence[APIKey], configs: Iterable[TokenConfig], *, now: datetime
) -> list[Violation]:
    of_user: dict[uuid.UUID | None, list[TokenConfig]] = defaultdict(list)
    for config in configs:
        of_user[config.user_id].append(config)
    owners = {key.user_id: key.user for key in keys}
    limits = {pk: resolve([*of_user[pk], *of_user[None]], owner) for pk, owner in owners.items()}
    counted = [key for key in keys if limits[key.user_id][resolution.MAX_LIVE].value is not None]
    owner_ids, ids = list({key.user_id for key in counted}), [key.pk for key in counted]
    ranks = dict(fetch(RANKS, [now, owner_ids, ids])) if counted else {}
    found = ((key, limits[key.user_id], ranks.get(key.pk, 0)) for key in keys)
    return [
        Violation(key, reasons, limit[resolution.MAX_LIFETIME].value)
        for key, limit, rank in found
        if (reasons := tuple(reasons_of(key.lifetime_ns, key.scopes, rank, limit)))
    ]


def _subject(config: TokenConfig) -> Q:
    if config.user_id is not None:
        return Q(user_id=config.user_id)
    return Q(user__roles__contains=[config.role]) if config.role else Q(pk__isnull=False)


def reasons_of(
    lifetime_ns: int, scopes: Collection[str], rank: int, limits: Policy
) -> Iterator[str]:
    """Yields a clause for each limit that a token violates. `rank` is its rank by last use."""
    maximum = limits[resolution.MAX_LIFETIME]
    if lifetime_ns > maximum.value:
        yield f"its lifetime is {duration(lifetime_ns)}, the maximum is {maximum.readable}"
    allowed = limits[resolution.SCOPES].value
    if allowed is not None and (over := set(scopes) - within(scopes, allowed)):
        yield f"the scope {', '.join(sorted(over))} is not allowed"
    max_live = limits[resolution.MAX_LIVE].value
    if max_live is not None and rank > max_live:
        yield f"it is number {rank} by last use, the maximum is {plural(max_live, 'live token')}"
