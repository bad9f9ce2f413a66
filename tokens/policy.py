"""The token policy: five limits on a user's tokens, each with the rule that won."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from django.conf import settings
from django.db.models import Q

from kernel.humanize import duration
from tokens.models import TokenConfig
from users.models import User
from users.roles import OWNER
from users.scopes import within

MAX_LIFETIME = "max_token_lifetime"
DEFAULT_LIFETIME = "default_token_lifetime"
MAX_LIVE = "max_live_tokens"
SCOPES = "allowed_scopes"
MINTING = "tokens_may_mint"

WORDS = {
    MAX_LIFETIME: "longest lifetime",
    DEFAULT_LIFETIME: "default lifetime",
    MAX_LIVE: "live tokens at once",
    SCOPES: "allowed scopes",
    MINTING: "a token may make another",
}
NO_RULE, NO_RULE_IN_WORDS = "default", "no rule sets it"
# Held shared while a key is made within the policy, and alone while a rule changes: no key that is
# made meanwhile escapes what is done to those that break the new rule.
LOCK = "token-policy"


class Said(NamedTuple):
    """The value that one rule gives to a limit; None where it gives none."""

    rule: str
    value: Any


@dataclass(frozen=True, slots=True)
class Limit:
    """A limit as it holds for one user, the rule that won, and what every rule said.

    Units: lifetimes in nanoseconds. A value of None is no limit.
    """

    name: str
    value: Any
    rule: str
    said: tuple[Said, ...]

    def explanation(self) -> str:
        """Names the rule that won, and what the others say, for people."""
        if self.rule == NO_RULE:
            return NO_RULE_IN_WORDS
        others = [
            f"{rule} says {readable(self.name, value)}"
            for rule, value in self.said
            if value is not None and rule not in {self.rule, NO_RULE}
        ]
        return "; ".join([f"{self.rule} says {readable(self.name, self.value)} and wins", *others])


class Policy(dict[str, Limit]):
    """The limits on one user's tokens, by name."""

    @property
    def max_token_lifetime(self) -> int:
        return int(self[MAX_LIFETIME].value)

    @property
    def default_token_lifetime(self) -> int:
        return int(self[DEFAULT_LIFETIME].value)


def limits_for_people(user: User) -> list[dict[str, Any]]:
    """Returns the limits as a page shows them.

    Shape: name str, value str, rule str, said [(rule str, value str)].
    """
    return [
        {
            "name": WORDS[limit.name],
            "value": readable(limit.name, limit.value),
            "rule": NO_RULE_IN_WORDS if limit.rule == NO_RULE else limit.rule,
            "said": [
                (rule, readable(limit.name, value))
                for rule, value in limit.said
                if value is not None and rule != NO_RULE
            ],
        }
        for limit in policy_of(user).values()
    ]


def readable(name: str, value: Any) -> str:
    if value is None:
        return "no limit"
    if name in {MAX_LIFETIME, DEFAULT_LIFETIME}:
        return duration(value)
    if name == SCOPES:
        return ", ".join(value) or "no scope"
    return {True: "yes", False: "no"}[value] if name == MINTING else str(value)


def _common_scopes(lists: Iterable[Sequence[str]]) -> list[str]:
    first, *others = lists
    common = frozenset(first)
    for other in others:
        common = within(common, other) | within(other, common)
    return sorted(common)


# Of several rules of one rank the strictest holds.
_STRICTEST: dict[str, Callable[[list[Any]], Any]] = {
    MAX_LIFETIME: min,
    DEFAULT_LIFETIME: min,
    MAX_LIVE: min,
    SCOPES: _common_scopes,
    MINTING: all,
}
LIMITS = tuple(_STRICTEST)


def policy_of(user: User) -> Policy:
    """Returns the limits on this user's tokens, by one query."""
    configs = TokenConfig.objects.filter(
        Q(user=user) | Q(user__isnull=True, role__in=["", *user.roles])
    ).select_related("user")
    return resolve(configs, user)


def resolve(configs: Collection[TokenConfig], user: User) -> Policy:
    """Resolves the user's limits from these configs and the options.

    Each limit by itself: the user's own config that sets it wins; else the strictest of the roles';
    else the deployment's; else the option. Source: the contract's tokenconfig.
    """
    ranks = [
        [config for config in configs if config.user_id == user.id],
        [config for config in configs if config.user_id is None and config.role in user.roles],
        [config for config in configs if config.user_id is None and not config.role],
    ]
    limits = Policy((name, _limit(name, ranks, user.roles)) for name in LIMITS)
    longest, usual = limits[MAX_LIFETIME], limits[DEFAULT_LIFETIME]
    if usual.value > longest.value:
        limits[DEFAULT_LIFETIME] = replace(usual, value=longest.value, rule=longest.rule)
    return limits


def _limit(name: str, ranks: list[list[TokenConfig]], roles: Collection[str]) -> Limit:
    fallback = _option(name, roles)
    said = tuple(Said(c.subject, getattr(c, name)) for rank in ranks for c in rank)
    for rank in ranks:
        setting = [config for config in rank if getattr(config, name) is not None]
        if setting:
            value = _STRICTEST[name]([getattr(config, name) for config in setting])
            return Limit(name, value, _winner(name, setting, value), (*said, fallback))
    return Limit(name, fallback.value, fallback.rule, (*said, fallback))


def _winner(name: str, setting: list[TokenConfig], value: Any) -> str:
    """Names the config that gave the value, or all of them where none did alone."""
    exact = [config.subject for config in setting if getattr(config, name) == value]
    return exact[0] if exact else " with ".join(config.subject for config in setting)


def _option(name: str, roles: Collection[str]) -> Said:
    if name == MAX_LIFETIME and OWNER in roles:
        return Said("CODER_MAX_ADMIN_TOKEN_LIFETIME", settings.MAX_ADMIN_TOKEN_LIFETIME_NS)
    if name == MAX_LIFETIME:
        return Said("CODER_MAX_TOKEN_LIFETIME", settings.MAX_TOKEN_LIFETIME_NS)
    if name == DEFAULT_LIFETIME:
        return Said("CODER_DEFAULT_TOKEN_LIFETIME", settings.DEFAULT_TOKEN_LIFETIME_NS)
    return Said(NO_RULE, True if name == MINTING else None)
