"""Permissions: the contract's matrix of operations and roles, and scopes."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import transaction

from tests.support.api.client import APIClient
from tests.support.api.role_matrix import MATRIX
from tests.support.api.sending import send
from tests.support.factories import make_key, make_user

EVERYBODY = ["owner", "auditor", "user-admin", "template-admin", "member", "anonymous"]

BODIES = {
    "POST /csp/reports": {"csp-report": {"effective-directive": "img-src"}},
    "PUT /users/stranger/password": {"password": "another-horse-battery"},
    "PUT /users/another-owner/password": {"password": "another-horse-battery"},
    "PUT /users/stranger/roles": {"roles": ["auditor"]},
    "POST /authcheck": {"checks": {}},
}
# The writer commits reports outside the test's transaction.
OPERATIONS = [
    pytest.param(name, marks=pytest.mark.django_db(transaction=name == "POST /csp/reports"))
    for name in MATRIX
]


def client_of(role: str) -> APIClient:
    if role == "anonymous":
        return APIClient()
    user = make_user(*([] if role == "member" else [role]))
    return APIClient(user=user, token=make_key(user).token)


def call(client: APIClient, operation: str, *, key: str = "") -> Any:
    method, path = operation.split()
    return send(client, method, path.format(key=key), BODIES.get(operation, {}))


def others_in(operation: str) -> str:
    """Creates the users that the operation names. Returns the id of the stranger's key, or ""."""
    if "another-owner" in operation:
        make_user("owner", username="another-owner")
    if "stranger" not in operation and "{key}" not in operation:
        return ""
    return make_key(make_user(username="stranger"), token_name="theirs").key.id


def status_for(role: str, operation: str) -> int:
    """Returns the status, and undoes the operation for the next role."""
    before = transaction.savepoint_create()
    key = others_in(operation)
    status = call(client_of(role), operation, key=key).status_code
    transaction.savepoint_rollback(before)
    return int(status)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_operation_has_the_status_of_the_matrix_for_each_role(operation: str) -> None:
    statuses = {role: status_for(role, operation) for role in EVERYBODY}

    assert statuses == dict(zip(EVERYBODY, MATRIX[operation], strict=True))


SCOPES: list[tuple[str, str, int]] = [
    ("coder:all", "GET /deployment/config", 200),
    ("all", "GET /deployment/config", 200),
    ("coder:application_connect", "GET /deployment/config", 403),
    ("coder:application_connect", "GET /deployment/stats", 403),
    ("coder:application_connect", "GET /users/me/keys/tokens/tokenconfig", 404),
    ("application_connect", "GET /users/me/keys/tokens/tokenconfig", 404),
    ("coder:application_connect", "GET /deployment/ssh", 200),
    ("coder:application_connect", "GET /experiments", 200),
    ("deployment_config:read", "GET /deployment/config", 200),
    ("deployment_config:read", "GET /deployment/stats", 403),
    ("deployment_stats:read", "GET /deployment/stats", 400),
    ("deployment_stats:read", "GET /deployment/config", 403),
    ("deployment_stats:create", "GET /deployment/stats", 403),
    ("user:read", "GET /users/me/keys/tokens/tokenconfig", 200),
    ("user:*", "GET /users/me/keys/tokens/tokenconfig", 200),
    ("api_key:read", "GET /users/me/keys/tokens/tokenconfig", 200),
    ("api_key:delete", "GET /users/me/keys/tokens/tokenconfig", 404),
    ("coder:application_connect", "GET /users/me", 404),
    ("coder:application_connect", "GET /users/me/keys/tokens", 404),
    ("coder:application_connect", "GET /users", 403),
    ("coder:application_connect", "POST /users/me/keys", 404),
    ("coder:application_connect", "POST /authcheck", 200),
    ("coder:application_connect", "POST /users/logout", 200),
    ("api_key:read", "GET /users/me/keys/tokens", 200),
    ("api_key:read", "GET /users/me", 404),
    ("api_key:read", "POST /users/me/keys/tokens", 404),
    ("api_key:create", "POST /users/me/keys/tokens", 403),  # The new token would have more scopes.
    ("api_key:read", "DELETE /users/me/keys/0123456789", 404),
    ("user:read", "GET /users", 200),
    ("user:read", "GET /users/me", 200),
    ("user:read", "POST /users", 403),
    ("user:create", "POST /users", 400),
    ("user:read", "PUT /users/me/status/activate", 404),
    ("user:update", "PUT /users/me/status/activate", 200),
    ("user:*", "PUT /users/me/status/activate", 200),
]


@pytest.mark.parametrize(("scope", "operation", "status"), SCOPES)
def test_scope_narrows_the_permissions_of_an_owners_key(
    db: None, scope: str, operation: str, status: int
) -> None:
    user = make_user("owner")
    client = APIClient(user=user, token=make_key(user, scopes=[scope]).token)

    assert call(client, operation).status_code == status


def test_scope_never_allows_more_than_the_role(db: None) -> None:
    user = make_user()
    key = make_key(user, scopes=["deployment_config:read"])

    answer = APIClient(token=key.token).get("/api/v2/deployment/config")

    assert answer.status_code == 403
    assert "Forbidden" in answer.json()["message"]
