"""Scopes and allow lists only take rights away, and authcheck agrees with the operations."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
from django.db import transaction

from tests.support.api.client import APIClient
from tests.support.api.sending import send
from tests.support.factories import PASSWORD, make_key, make_user
from users.models import User

pytestmark = pytest.mark.django_db

NEW_PASSWORD = "another-horse-battery"
SCOPES = [
    "coder:all",
    "user:*",
    "user:read",
    "user:update",
    "user:update_personal",
    "assign_role:*",
    "api_key:*",
    "deployment_config:read",
]
# The action for authcheck, and the request that needs it.
ON_A_USER = [
    ("user:read", "GET", "/users/{user}", None),
    ("user:update", "PUT", "/users/{user}/status/activate", None),
    ("user:update_personal", "PUT", "/users/{user}/password", {"password": NEW_PASSWORD}),
    ("user:delete", "DELETE", "/users/{user}", None),
    ("assign_role:assign", "PUT", "/users/{user}/roles", {"roles": ["auditor"]}),
    ("api_key:create", "POST", "/users/{user}/keys", None),
    ("api_key:create", "POST", "/users/{user}/keys/tokens", None),
    ("api_key:read", "GET", "/users/{user}/keys/{key}", None),
    ("api_key:update", "PUT", "/users/{user}/keys/{key}/expire", None),
    ("api_key:delete", "DELETE", "/users/{user}/keys/{key}", None),
]
ON_NOBODY = [
    ("user:read", "GET", "/users", None),
    ("deployment_config:read", "GET", "/deployment/config", None),
    ("organization:read", "GET", "/organizations", None),
]


class Case(NamedTuple):
    action: str
    method: str
    path: str
    body: Any
    target: User | None


def new_user() -> dict[str, str]:
    name = uuid.uuid4().hex[:20]
    return {"username": f"u-{name}", "email": f"{name}@example.com", "password": NEW_PASSWORD}


def authcheck(client: APIClient, cases: list[Case]) -> list[bool]:
    """Returns the answers of authcheck in the order of the cases."""
    checks = {}
    for number, case in enumerate(cases):
        kind, _, verb = case.action.partition(":")
        owner = {"owner_id": str(case.target.id)} if case.target else {}
        checks[str(number)] = {"object": {"resource_type": kind, **owner}, "action": verb}
    found = send(client, "POST", "/authcheck", {"checks": checks}).json()
    return [found[str(number)] for number in range(len(cases))]


def succeeds(client: APIClient, method: str, path: str, body: Any) -> bool:
    """Returns whether the request succeeds, and rolls it back."""
    # Not `atomic`: commit_with_retry needs the outermost transaction.
    before = transaction.savepoint_create()
    answer = send(client, method, path, body)
    transaction.savepoint_rollback(before)
    assert answer.status_code < 500, answer.content
    return bool(answer.status_code < 300)


def cases_on(target: User, me: User, scope: str) -> Iterator[Case]:
    key = make_key(target).key.id
    for action, method, path, body in ON_A_USER:
        where = path.format(user=target.id, key=key)
        if target == me and action == "assign_role:assign":
            continue  # You cannot change your own roles, whatever your rights.
        if path.endswith("/keys") and scope != "coder:all":
            continue  # The new key would have all scopes, which a narrowed key cannot grant.
        old = {"old_password": PASSWORD} if target == me and path.endswith("/password") else {}
        scopes = {"scopes": [scope]} if path.endswith("/tokens") else {}
        yield Case(action, method, where, {**(body or {}), **old, **scopes}, target)


# A scope narrows the rights of each role in the same way, so auditor and template-admin are tested
# with `coder:all` only.
@pytest.mark.slow
@pytest.mark.parametrize(
    ("role", "scope"),
    [
        *((role, "coder:all") for role in ("auditor", "template-admin")),
        *itertools.product(("owner", "user-admin", "member"), SCOPES),
    ],
)
def test_authcheck_agrees_with_the_operations(role: str, scope: str) -> None:
    me = make_user(*([] if role == "member" else [role]))
    client = APIClient(user=me, token=make_key(me, scopes=[scope]).token)
    make_user("owner")
    cases = [Case(*row, None) for row in ON_NOBODY] + [
        Case("user:create", "POST", "/users", new_user(), None)
    ]
    for target in (me, make_user(), make_user("auditor"), make_user("owner")):
        cases += cases_on(target, me, scope)

    expected = authcheck(client, cases)
    reality = [succeeds(client, case.method, case.path, case.body) for case in cases]

    assert [c for c, one, other in zip(cases, expected, reality, strict=True) if one != other] == []


@pytest.mark.parametrize(
    ("scope", "path", "body", "allowed"),
    [
        ("user:update", "roles", {"roles": ["owner"]}, False),
        ("user:*", "roles", {"roles": ["owner"]}, False),
        ("user:update_personal", "roles", {"roles": ["owner"]}, False),
        ("assign_role:*", "roles", {"roles": ["owner"]}, True),
        ("user:update", "password", {"password": NEW_PASSWORD}, False),
        ("assign_role:*", "password", {"password": NEW_PASSWORD}, False),
        ("user:update_personal", "password", {"password": NEW_PASSWORD}, True),
    ],
)
def test_changing_roles_and_passwords_needs_its_own_scope(
    scope: str, path: str, body: Any, allowed: bool
) -> None:
    user, boss = make_user(), make_user("owner")
    client = APIClient(token=make_key(boss, scopes=[scope]).token)

    answer = send(client, "PUT", f"/users/{user.id}/{path}", body)

    assert answer.status_code == (200 if path == "roles" else 204) if allowed else 404


@pytest.mark.parametrize("scope", ["user:*", "user:update_personal"])
def test_narrowed_key_cannot_reset_the_password_of_a_user_with_more_rights(scope: str) -> None:
    boss, other, auditor = make_user("owner"), make_user("owner"), make_user("auditor")
    client = APIClient(token=make_key(boss, scopes=[scope]).token)

    for target in (other, auditor):
        answer = send(client, "PUT", f"/users/{target.id}/password", {"password": NEW_PASSWORD})
        assert answer.status_code == 403


@pytest.mark.parametrize(
    ("role", "status"), [("owner", 403), ("auditor", 403), ("user-admin", 204), ("", 204)]
)
def test_password_of_a_user_with_more_rights_cannot_be_reset(
    role: str, status: int, user_admin: APIClient
) -> None:
    target = make_user(*filter(None, [role]))

    answer = send(user_admin, "PUT", f"/users/{target.id}/password", {"password": NEW_PASSWORD})

    assert answer.status_code == status


@pytest.mark.parametrize("path", ["password", "roles", "keys/tokens"])
def test_permissions_are_checked_before_the_body(path: str, user_admin: APIClient) -> None:
    boss = make_user("owner")
    method = "POST" if path == "keys/tokens" else "PUT"

    assert send(user_admin, method, f"/users/{boss.id}/{path}", b"{").status_code == 403


def forms(user: User) -> list[str]:
    """Returns the UUID in the forms that clients use."""
    return [str(user.id), str(user.id).upper(), user.id.hex, f"{{{user.id}}}", user.id.urn]


def test_allow_list_of_one_user_reaches_only_that_user() -> None:
    boss, one, other = make_user("owner"), make_user(), make_user()
    maker = APIClient(token=make_key(boss).token)
    for written in forms(one):
        body = {"allow_list": [f"user:{written}", "api_key:*"]}
        token = send(maker, "POST", "/users/me/keys/tokens", body).json()["key"]
        client = APIClient(user=boss, token=token)
        for _, method, path, body_of_it in ON_A_USER[:7]:
            wanted = body_of_it or {"scopes": ["coder:all"], "allow_list": [f"user:{one.id}"]}
            if path.endswith("/keys"):
                continue
            assert succeeds(client, method, path.format(user=one.id), wanted), (path, written)
            assert not succeeds(client, method, path.format(user=other.id), wanted), (path, written)
        limits = "/users/{}/keys/tokens/tokenconfig"
        assert succeeds(client, "GET", limits.format(one.id), None)
        assert not succeeds(client, "GET", "/users/me", None)


def test_authcheck_accepts_any_owner_and_rejects_an_invalid_id(owner: APIClient) -> None:
    def ask(**wanted: str) -> Any:
        checks = {"it": {"object": {"resource_type": "user", **wanted}, "action": "read"}}
        return send(owner, "POST", "/authcheck", {"checks": checks})

    assert ask(owner_id="unknown").json() == {"it": True}
    assert ask(resource_id="x").status_code == 400
