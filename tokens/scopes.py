"""What the scopes of a key let it do. A scope never widens what the user's role allows."""

from __future__ import annotations

from collections.abc import Iterable

ALL = "coder:all"
APPLICATION_CONNECT = "coder:application_connect"
ALIASES = {"all": ALL, "application_connect": APPLICATION_CONNECT}

_LOW_LEVEL = {
    "api_key": ("create", "read", "update", "delete"),
    "user": ("create", "read", "update", "delete"),
    "deployment_config": ("read",),
    "deployment_stats": ("read", "create"),
}
KNOWN = frozenset(
    {ALL, APPLICATION_CONNECT}
    | {f"{resource}:{action}" for resource, actions in _LOW_LEVEL.items() for action in actions}
    | {f"{resource}:*" for resource in ("api_key", "user")}
)


def canonical(scope: str) -> str:
    return ALIASES.get(scope, scope)


def allow(scopes: Iterable[str], action: str) -> bool:
    """Whether any of the scopes covers the action, a `resource:action`."""
    resource = action.partition(":")[0]
    return any(scope in (ALL, action, f"{resource}:*") for scope in map(canonical, scopes))
