"""Resolves the five limits on a user's tokens from the token policies and the options."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from django.conf import settings
from django.db.models import F

from kernel.db.connections import fetch
from kernel.text.humanize import duration
from tokens.models import PolicyVersion, Rule, TokenConfig
from users.models import User
from users.roles import OWNER
from users.scopes import within

MAX_LIFETIME = "max_lifetime_ns"
DEFAULT_LIFETIME = "default_lifetime_ns"
MAX_LIVE = "max_live_tokens"
SCOPES = "allowed_scopes"
MINTING = "tokens_may_create_tokens"

NO_RULE = Rule("default")


class RuleValue(NamedTuple):
    """The value that a rule sets for a limit, or None if the rule does not set the limit."""

    rule: Rule
    value: Any


@dataclass(frozen=True, slots=True)
class Limit:
    """A limit for one user, the rule that sets the limit, and the values of all rules.

    If `value` is None, the user is not limited. Units: lifetimes in nanoseconds.
    """

    name: str
    value: Any
    rule: Rule
    rules: tuple[RuleValue, ...]

    @property
    def is_from_option(self) -> bool:
        """Returns whether no token policy sets the limit."""
        return self.rule == self.rules[-1].rule

    @property
    def label(self) -> str:
        return KINDS[self.name].label

    @property
    def readable(self) -> str:
        return readable(self.name, self.value)

    @property
    def readable_rules(self) -> list[tuple[str, str]]:
        """Returns all rules that have a value for the limit, and their formatted values."""
        return [
            (str(rule), readable(self.name, value))
            for rule, value in self.rules
            if value is not None and rule != NO_RULE
        ]

    @property
    def explanation(self) -> str:
        """Returns a message with the rule that sets the limit, and the rules that it overrides."""
        if self.rule == NO_RULE:
            return "not set by any rule"
        others = [
            f"{rule}: {value}" for rule, value in self.readable_rules if rule != str(self.rule)
        ]
        overridden = f"; overrides {', '.join(others)}" if others else ""
        return f"set by {self.rule}: {self.readable}{overridden}"


class Policy(dict[str, Limit]):
    """The limits on one user's tokens, by name.

    `version` is the version of the stored policies.
    """

    version = 0


def _common_scopes(lists: Iterable[Sequence[str]]) -> list[str]:
    first, *others = lists
    common = frozenset(first)
    for other in others:
        common = within(common, other) | within(other, common)
    return sorted(common)


class Kind(NamedTuple):
    """A kind of limit. If several rules have the same rank, `strictest` chooses from their values.

    `readable` formats a value.
    """

    label: str
    strictest: Callable[[list[Any]], Any]
    readable: Callable[[Any], str] = str


KINDS = {
    MAX_LIFETIME: Kind("maximum lifetime", min, duration),
    DEFAULT_LIFETIME: Kind("default lifetime", min, duration),
    MAX_LIVE: Kind("maximum live tokens", min),
    SCOPES: Kind("allowed scopes", _common_scopes, lambda names: ", ".join(names) or "no scope"),
    MINTING: Kind("tokens may create tokens", all, lambda allowed: "yes" if allowed else "no"),
}
LIMITS = tuple(KINDS)


def readable(name: str, value: Any) -> str:
    return "no limit" if value is None else KINDS[name].readable(value)


_SELECT = f"""
SELECT policies.version, config.user_id, config.role, {", ".join(LIMITS)}
FROM tokens_policyversion AS policies LEFT JOIN tokens_tokenconfig AS config
ON config.user_id = %s OR config.user_id IS NULL AND config.role = ANY (%s)
ORDER BY config.id
"""  # noqa: S608 - constants


def policy_of(user: User) -> Policy:
    """Returns the limits on this user's tokens. Takes one query."""
    rows = fetch(_SELECT, [user.id, ["", *user.roles]])
    configs = [
        TokenConfig(user=user_id and user, role=role, **dict(zip(LIMITS, limits, strict=True)))
        for _, user_id, role, *limits in rows
        if role is not None
    ]
    limits = resolve(configs, user)
    limits.version = rows[0][0]
    return limits


def increase_version() -> None:
    """Begins a change of policies. Until the transaction ends, no other one changes or uses them.

    Call it before you lock a user, to prevent deadlocks.
    """
    PolicyVersion.objects.update(version=F("version") + 1)


def resolve(configs: Collection[TokenConfig], user: User) -> Policy:
    """Resolves the user's limits from these configs and the options.

    Each limit is resolved separately. The rules have this order: the config of the user, the
    strictest config of the user's roles, the config of the deployment, the option. The first rule
    that sets the limit applies.
    Source: the contract's tokenconfig.
    """
    ranks = [
        [config for config in configs if config.user_id == user.id],
        [config for config in configs if config.user_id is None and config.role in user.roles],
        [config for config in configs if config.user_id is None and not config.role],
    ]
    limits = Policy((name, _limit(name, ranks, user.roles)) for name in LIMITS)
    maximum, default = limits[MAX_LIFETIME], limits[DEFAULT_LIFETIME]
    if default.value > maximum.value:
        limits[DEFAULT_LIFETIME] = replace(default, value=maximum.value, rule=maximum.rule)
    return limits


def _limit(name: str, ranks: list[list[TokenConfig]], roles: Collection[str]) -> Limit:
    option = _option(name, roles)
    of_configs = [RuleValue(c.rule, getattr(c, name)) for rank in ranks for c in rank]
    rules = (*of_configs, option)
    for rank in ranks:
        setting = [config for config in rank if getattr(config, name) is not None]
        if setting:
            value = KINDS[name].strictest([getattr(config, name) for config in setting])
            return Limit(name, value, _rule(name, setting, value), rules)
    return Limit(name, option.value, option.rule, rules)


def _rule(name: str, setting: list[TokenConfig], value: Any) -> Rule:
    """Returns the config with this value. If the value combines several roles, returns them all."""
    exact = [config.rule for config in setting if getattr(config, name) == value]
    return exact[0] if exact else Rule("role", ", ".join(config.role for config in setting))


def _option(name: str, roles: Collection[str]) -> RuleValue:
    if name == MAX_LIFETIME and OWNER in roles:
        return RuleValue(
            Rule("option", "CODER_MAX_ADMIN_TOKEN_LIFETIME"), settings.MAX_ADMIN_TOKEN_LIFETIME_NS
        )
    if name == MAX_LIFETIME:
        return RuleValue(Rule("option", "CODER_MAX_TOKEN_LIFETIME"), settings.MAX_TOKEN_LIFETIME_NS)
    if name == DEFAULT_LIFETIME:
        return RuleValue(
            Rule("option", "CODER_DEFAULT_TOKEN_LIFETIME"), settings.DEFAULT_TOKEN_LIFETIME_NS
        )
    return RuleValue(NO_RULE, True if name == MINTING else None)
