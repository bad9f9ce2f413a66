"""Scopes of keys. A scope never allows more than the user's roles."""

from __future__ import annotations

from collections.abc import Iterable

ALL = "coder:all"
APPLICATION_CONNECT = "coder:application_connect"
ALIASES = {"all": ALL, "application_connect": APPLICATION_CONNECT}

_LOW_LEVEL = {
    "api_key": ("create", "read", "update", "delete"),
    "user": ("create", "read", "update", "update_personal", "delete"),
    "deployment_config": ("read",),
    "deployment_stats": ("read", "create"),
    "organization": ("read",),
    "csp_report": ("read", "update"),
}
KNOWN = frozenset(
    {ALL, APPLICATION_CONNECT}
    | {f"{resource}:{action}" for resource, actions in _LOW_LEVEL.items() for action in actions}
    | {f"{resource}:*" for resource in ("api_key", "assign_role", "user")}
)


def canonical(scope: str) -> str:
    return ALIASES.get(scope, scope)


def require_known(names: Iterable[str]) -> None:
    """Raises: ValueError if one of the names is not a scope."""
    for name in map(canonical, names):
        if name not in KNOWN:
            known = ", ".join(sorted(KNOWN))
            raise ValueError(f"{name[:64]!r} is not a scope. Scopes: {known}.")


def allow(scopes: Iterable[str], action: str) -> bool:
    """Returns whether any of the scopes covers the action. `action` can also be a scope."""
    wanted = canonical(action)
    family = f"{wanted.partition(':')[0]}:*"
    # `coder:*` is not a scope. So a scope `coder:…` is covered only by itself and by `coder:all`.
    return any(scope in (ALL, wanted, family) for scope in map(canonical, scopes))


def within(narrow: Iterable[str], wide: Iterable[str]) -> frozenset[str]:
    """Returns the scopes of `narrow` that `wide` covers."""
    known = frozenset(wide)
    return frozenset(scope for scope in narrow if allow(known, scope))


def legacy_name(scopes: Iterable[str]) -> str:
    """Returns the value of the old JSON member `scope` for these scopes, or ""."""
    found = {canonical(scope) for scope in scopes}
    return next((word for word, scope in ALIASES.items() if scope in found), "")
