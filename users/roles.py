"""Roles and the actions that they allow, in the form `resource:action`."""

from __future__ import annotations

from collections.abc import Iterable

OWNER = "owner"
AUDITOR = "auditor"
USER_ADMIN = "user-admin"
TEMPLATE_ADMIN = "template-admin"
# Every user has this role, so it is neither stored nor shown.
MEMBER = "member"

DISPLAY_NAMES = {
    OWNER: "Owner",
    AUDITOR: "Auditor",
    USER_ADMIN: "User Admin",
    TEMPLATE_ADMIN: "Template Admin",
}
# The names that a request or a command may set.
ROLE_NAMES = (*DISPLAY_NAMES, MEMBER)

# Users with one of these roles may open the admin. Owners may change everything. Auditors see all
# pages, but change nothing. User admins see and change users who are not owners.
ADMIN_ROLES = frozenset({OWNER, AUDITOR, USER_ADMIN})

_READ_USERS = frozenset({"user:read"})

PERMISSIONS: dict[str, frozenset[str]] = {
    AUDITOR: _READ_USERS
    | {"deployment_config:read", "deployment_stats:read", "audit_log:read", "csp_report:read"},
    USER_ADMIN: _READ_USERS | {"user:create", "user:update", "user:update_personal", "user:delete"},
    TEMPLATE_ADMIN: _READ_USERS,
}

MEMBER_PERMISSIONS = frozenset({"assign_role:read", "organization:read"})
# Every user may do these actions on their own account and keys.
OWN_PERMISSIONS = frozenset(
    {"user:read", "user:read_personal", "user:update_personal"}
    | {f"api_key:{action}" for action in ("create", "read", "update", "delete")}
)


def may(roles: Iterable[str], action: str) -> bool:
    """Returns whether any of the roles allows the action. An owner may do every action."""
    return action in MEMBER_PERMISSIONS or any(
        role == OWNER or action in PERMISSIONS.get(role, ()) for role in roles
    )


def rights(roles: Iterable[str]) -> frozenset[str]:
    """Returns the actions that these roles allow and the role member does not. An owner has `*`."""
    names = frozenset(roles)
    if OWNER in names:
        return frozenset({"*"})
    return frozenset().union(*(PERMISSIONS.get(name, frozenset()) for name in names))
