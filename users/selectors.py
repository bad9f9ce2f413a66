from __future__ import annotations

import re
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal

from django.contrib.auth.hashers import UNUSABLE_PASSWORD_PREFIX
from django.db.models import Count, Q, QuerySet

from kernel.db.connections import fetch
from kernel.db.paging import Condition, pages, where
from kernel.http.errors import APIError, Validation, invalid
from kernel.memory import CachedValue, Memory
from kernel.text.values import parse_time
from users import allow_lists, permissions, roles
from users.models import User
from users.names import is_uuid, normal_email, normal_id, normal_username, old_normal_email
from users.permissions import KeyIdentity, Owner

ME = "me"
COLUMNS = [field.attname for field in User._meta.concrete_fields]
MAX_WORDS = 20
SERVICE_ACCOUNTS = Q(password__startswith=UNUSABLE_PASSWORD_PREFIX)
# All resource types that Coder's clients send to `/authcheck`. This service does not have all of
# these resources. For the missing ones, only owners get `true`.
_TYPES = """
* aibridge_interception api_key assign_org_role assign_role audit_log connection_log crypto_key
debug_info deployment_config deployment_stats file group group_member idpsync_settings
inbox_notification license notification_message notification_preference notification_template
oauth2_app oauth2_app_code_token oauth2_app_secret organization organization_member
prebuilt_workspace provisioner_daemon provisioner_jobs replicas system tailnet_coordinator task
template usage_event user user_secret webpush_subscription workspace workspace_agent_devcontainers
workspace_agent_resource_monitor workspace_dormant workspace_proxy
"""
RESOURCE_TYPES = frozenset(_TYPES.split())


def user_in_path(reference: str, *, viewer: KeyIdentity) -> User:
    """Returns the user for a reference: `me`, a UUID or a username, ignoring case.

    Raises: APIError 400 if the user does not exist, or if the viewer may not read the user.
    Source: the contract's rule for `{user}`.
    """
    user = _lookup(reference, viewer)
    if user and (user.id == viewer.user_id or viewer.may("user:read")):
        return user
    # Coder's clients search the error for these words, and then treat the 400 as "not found".
    raise APIError(400, "The user in the path must be an existing uuid or username.")


def _lookup(reference: str, viewer: KeyIdentity) -> User | None:
    if reference == ME:
        return user_by_id(viewer.user_id)
    if is_uuid(reference):
        return user_by_id(uuid.UUID(reference))
    return user_by_name(reference) if "@" not in reference else None


def user_by_name(name: str) -> User | None:
    """Returns the user with this username or e-mail address, ignoring case, or None."""
    if "\0" in name:
        return None
    # Usernames cannot contain an @.
    if "@" in name:
        new, old = normal_email(name), old_normal_email(name)
        return _one("email", new) or (_one("email", old) if old != new else None)
    return _one("username", normal_username(name))


def user_by_id(user_id: uuid.UUID) -> User | None:
    """Returns the user with this id, or None."""
    return _one("id", user_id)


def _one(column: Literal["id", "username", "email"], value: object) -> User | None:
    rows = fetch(f"SELECT {', '.join(COLUMNS)} FROM users_user WHERE {column} = %s", [value])  # noqa: S608 - the names are constants
    return User.from_db("default", COLUMNS, rows[0]) if rows else None


def user_exists() -> bool:
    """Returns whether any user exists."""
    return User.objects.exists()


def counts_by_status() -> dict[User.Status, int]:
    """Returns the number of users with each status."""
    counts = dict(User.objects.order_by().values_list("status").annotate(n=Count("*")))
    return {status: counts.get(status, 0) for status in User.Status}


def active_owners() -> QuerySet[User]:
    """Returns the owners who can sign in, without suspended users and service accounts."""
    owners = User.objects.filter(roles__contains=[roles.OWNER]).exclude(SERVICE_ACCOUNTS)
    return owners.exclude(status=User.Status.SUSPENDED)


USERS = """
SELECT {columns} FROM users_user WHERE {conditions} ORDER BY username LIMIT %s OFFSET %s
"""
COUNT_USERS = "SELECT count(*) FROM users_user WHERE {conditions}"
# A trigger announces the topic when users are inserted or deleted. Counting a hundred thousand
# users takes ten times as long as reading a page.
COUNT: Memory[None, int] = Memory("number of users", capacity=1, topics=("users",))


def search(
    query: str, *, ids: frozenset[str] | None, limit: int, offset: int
) -> tuple[list[User], int]:
    """Returns a page of the users that match all words of the query, and the number of all matches.

    The users are ordered by username.

    If `ids` is given, only those users are searched. A word `key:value` is a filter. Its value is a
    list of choices, separated by commas (`CHOICES`), or a time in RFC 3339 (`TIMES`). Every other
    word or quoted phrase must be a part of the username, the name or the e-mail address.
    Raises: APIError 400 for an unknown key or value, or for too many words.
    """
    conditions = [*_conditions(query), *_among(ids)]
    users = _users(conditions, limit, offset)
    if len(users) < limit and (users or not offset):
        return users, offset + len(users)
    if conditions:
        return users, _count(conditions)
    return users, COUNT.load(None, lambda: CachedValue(_count([])))


def matching_users(
    query: str = "", *, ids: frozenset[str] | None = None
) -> Iterator[Sequence[User]]:
    """Yields pages of all users that match the query of `search`, ordered by username.

    If `ids` is given, only those users are searched. Raises: APIError 400 as `search` does.
    """
    conditions = [*_conditions(query), *_among(ids)]

    def read(last: User | None, limit: int) -> Sequence[User]:
        after: list[Condition] = [("username > %s", [last.username])] if last else []
        return _users([*conditions, *after], limit)

    return pages(read)


def _users(conditions: Iterable[Condition], limit: int, offset: int = 0) -> list[User]:
    text, values = where(conditions)
    statement = USERS.format(columns=", ".join(COLUMNS), conditions=text)
    rows = fetch(statement, [*values, limit, offset])
    return [User.from_db("default", COLUMNS, row) for row in rows]


def _among(ids: frozenset[str] | None) -> list[Condition]:
    return [] if ids is None else [("id = ANY (%s)", [[uuid.UUID(i) for i in ids if is_uuid(i)]])]


def _count(conditions: Iterable[Condition]) -> int:
    text, values = where(conditions)
    return int(fetch(COUNT_USERS.format(conditions=text), values)[0][0])


_WORD = re.compile(r'(?:[^\s"]|"[^"]*")+')
# A hash of this form matches no password. Only service accounts have it.
_HAS_NO_PASSWORD = f"starts_with(password, '{UNUSABLE_PASSWORD_PREFIX}')"
# The conditions contain only values of this module.
CHOICES: dict[str, dict[str, str]] = {
    "status": {status: f"status = '{status}'" for status in User.Status.values},
    # Every user has the role member, so this filter matches all users.
    "role": {role: f"'{role}' = ANY (roles)" for role in roles.DISPLAY_NAMES}
    | {roles.MEMBER: "true"},
    "login_type": {
        User.LoginType.PASSWORD: f"NOT {_HAS_NO_PASSWORD}",
        User.LoginType.NONE: _HAS_NO_PASSWORD,
        # Coder's other login types. No user of this service has them.
        **dict.fromkeys(("github", "oidc", "token", "oauth2_provider_app"), "false"),
    },
}
TIMES = {
    # Coder reports "never seen" as year 1, so match NULL too.
    "last_seen_before": "(last_seen_at <= %s OR last_seen_at IS NULL)",
    "last_seen_after": "last_seen_at >= %s",
    "created_before": "created_at <= %s",
    "created_after": "created_at >= %s",
}
# Usernames and e-mail addresses are stored in lower case.
_CONTAINS = """
(strpos(username, %s) > 0 OR strpos(email, %s) > 0 OR strpos(upper(name), upper(%s)) > 0)
"""


def _conditions(query: str) -> list[Condition]:
    if query.count('"') % 2:
        raise invalid(Validation("q", "A quotation mark is missing."))
    words = dict.fromkeys(_WORD.findall(query))
    if len(words) > MAX_WORDS:
        raise invalid(Validation("q", f"A search can have at most {MAX_WORDS} words."))
    return [_condition(word) for word in words]


def _condition(word: str) -> Condition:
    key, colon, text = word.partition(":")
    text = text.replace('"', "")
    if not colon or word.startswith('"'):
        part = word.replace('"', "")
        return _CONTAINS, [normal_username(part), normal_email(part), part]
    if key in CHOICES:
        # Remove duplicates, because each value becomes a condition of the query.
        values = dict.fromkeys(text.lower().split(","))
        return f"({' OR '.join(_chosen(key, value) for value in values)})", []
    if key in TIMES:
        try:
            return TIMES[key], [parse_time(text)]
        except ValueError:
            example = f'{key}:"2026-01-31T12:00:00Z"'
            detail = f"{text[:64]!r} is not a time. Example: {example}."
            raise invalid(Validation("q", detail)) from None
    known = ", ".join([*CHOICES, *TIMES])
    raise invalid(Validation("q", f"You cannot search for {key[:64]!r}. Keys: {known}."))


def _chosen(key: str, value: str) -> str:
    if value not in CHOICES[key]:
        known = ", ".join(CHOICES[key])
        raise invalid(Validation("q", f"{key} {value[:64]!r} is not one of {known}."))
    return CHOICES[key][value]


def authorization(caller: KeyIdentity, checks: Mapping[str, Mapping[str, Any]]) -> dict[str, bool]:
    """Returns the result of each check: whether the caller may do the action.

    The keys are the names of the checks. Takes one query.
    Raises: APIError 400 for an unknown resource type and for a malformed id.
    """
    wanted = {name: _wanted(check, caller) for name, check in checks.items()}
    owners = {owner for _, owner, _ in wanted.values() if is_uuid(owner)}
    found = User.objects.filter(id__in=owners).values_list("id", "roles")
    roles_of = {str(user_id): tuple(names) for user_id, names in found}
    refusals = {
        name: permissions.refusal(
            caller,
            action,
            of=Owner(owner, roles_of.get(owner, ())) if owner else None,
            object_id=object_id or allow_lists.ANY,
        )
        for name, (action, owner, object_id) in wanted.items()
    }
    return {name: refused is None for name, refused in refusals.items()}


def _wanted(check: Mapping[str, Any], caller: KeyIdentity) -> tuple[str, str, str]:
    """Returns the action, the id of the owner and the id of the object."""
    kind, owner, object_id = (
        check["object"][name] for name in ("resource_type", "owner_id", "resource_id")
    )
    if kind not in RESOURCE_TYPES:
        raise invalid(Validation("resource_type", f"{kind!r} is not a known resource type."))
    if object_id and not is_uuid(object_id):
        raise invalid(Validation("resource_id", f"{object_id!r} is not a UUID."))
    if kind in permissions.ON_USERS:
        owner = object_id or owner
    owner = str(caller.user_id) if owner == ME else owner
    return f"{kind}:{check['action']}", normal_id(owner), normal_id(object_id)


def assignable_roles(caller: KeyIdentity) -> list[dict[str, Any]]:
    """Returns all roles. Shape: [codersdk.AssignableRoles]."""
    assignable = permissions.refusal(caller, "assign_role:assign") is None
    return [
        {
            "name": name,
            "display_name": shown,
            "assignable": assignable,
            "built_in": True,
            "site_permissions": [_permission(right) for right in sorted(roles.rights([name]))],
            "organization_permissions": [],
            "user_permissions": [],
        }
        for name, shown in roles.DISPLAY_NAMES.items()
    ]


def _permission(right: str) -> dict[str, Any]:
    kind, _, action = right.partition(":")
    return {"action": action or "*", "negate": False, "resource_type": kind}
