"""What each role may do, as `resource:action`, on this service."""

from __future__ import annotations

from collections.abc import Iterable

OWNER = "owner"
AUDITOR = "auditor"
USER_ADMIN = "user-admin"
TEMPLATE_ADMIN = "template-admin"

DISPLAY_NAMES = {
    OWNER: "Owner",
    AUDITOR: "Auditor",
    USER_ADMIN: "User Admin",
    TEMPLATE_ADMIN: "Template Admin",
}

_READ_USERS = frozenset({"user:read"})

PERMISSIONS: dict[str, frozenset[str]] = {
    AUDITOR: _READ_USERS
    | {"deployment_config:read", "deployment_stats:read", "audit_log:read", "csp_report:read"},
    USER_ADMIN: _READ_USERS | {"user:create", "user:update", "user:delete"},
    TEMPLATE_ADMIN: _READ_USERS,
}


def may(roles: Iterable[str], action: str) -> bool:
    """Whether any of the roles allows the action. An owner may do everything."""
    return any(role == OWNER or action in PERMISSIONS.get(role, ()) for role in roles)
