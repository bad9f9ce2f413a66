"""Permissions: the contract's matrix of operations and roles, and scopes."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import transaction
from django.http import HttpResponse
from django.urls import path

from kernel.http.views.base import APIView
from kernel.http.wire import WireFormat
from tests.support.api.client import APIClient
from tests.support.api.paths import full
from tests.support.api.role_matrix import BODIES, MATRIX
from tests.support.api.schema_validation import document, operation_of
from tests.support.api.sending import send
from tests.support.csp.groups import make_group
from tests.support.factories import make_key, make_user

EVERYBODY = ["owner", "auditor", "user-admin", "template-admin", "member", "anonymous"]

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


def call(client: APIClient, operation: str) -> Any:
    method, template = operation.split()
    return send(client, method, template.format(**others_in(operation)), BODIES.get(operation, {}))


def others_in(operation: str) -> dict[str, str]:
    """Creates the users and the group that the operation names. Returns the ids in its path."""
    if "{group}" in operation:
        return {"group": str(make_group().pk)}
    if "another-owner" in operation:
        make_user("owner", username="another-owner")
    if "stranger" not in operation and "{key}" not in operation:
        return {}
    return {"key": make_key(make_user(username="stranger"), token_name="theirs").key.id}


def status_for(role: str, operation: str) -> int:
    """Returns the status, and undoes the operation for the next role."""
    before = transaction.savepoint_create()
    status = call(client_of(role), operation).status_code
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
    ("deployment_stats:create", "POST /api/coderapi/v1/stats/agent-rows", 200),
    ("deployment_stats:read", "POST /api/coderapi/v1/stats/agent-rows", 403),
    ("coder:application_connect", "POST /api/coderapi/v1/stats/agent-rows", 403),
    ("csp_report:read", "GET /api/coderapi/v1/csp/groups/{group}", 200),
    ("csp_report:read", "PATCH /api/coderapi/v1/csp/groups/{group}", 403),
    ("csp_report:update", "GET /api/coderapi/v1/csp/groups/{group}", 403),
    ("csp_report:update", "PATCH /api/coderapi/v1/csp/groups/{group}", 200),
    ("user:read", "GET /users/me/keys/tokens/tokenconfig", 200),
    ("user:*", "GET /users/me/keys/tokens/tokenconfig", 200),
    ("api_key:read", "GET /users/me/keys/tokens/tokenconfig", 200),
    ("api_key:delete", "GET /users/me/keys/tokens/tokenconfig", 404),
    ("organization:read", "GET /organizations", 200),
    ("user:*", "GET /organizations", 403),
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


@pytest.mark.parametrize(
    ("role", "scope", "operation"),
    [
        ("", "deployment_config:read", "GET /deployment/config"),
        ("auditor", "deployment_stats:create", "POST /api/coderapi/v1/stats/agent-rows"),
    ],
)
def test_scope_never_allows_more_than_the_role(
    db: None, role: str, scope: str, operation: str
) -> None:
    user = make_user(*filter(None, [role]))
    answer = call(APIClient(token=make_key(user, scopes=[scope]).token), operation)

    assert answer.status_code == 403
    assert "Forbidden" in answer.json()["message"]


class Forgotten(APIView):
    def get(self, request: object) -> HttpResponse:
        return HttpResponse()


urlpatterns = [path("api/v2/forgotten", Forgotten.as_view())]


@pytest.mark.django_db
@pytest.mark.urls(__name__)
@pytest.mark.parametrize(("role", "status"), [("owner", 403), ("member", 403), ("anonymous", 401)])
def test_view_without_a_permission_rejects_everybody(role: str, status: int) -> None:
    assert client_of(role).get("/api/v2/forgotten").status_code == status


@pytest.mark.parametrize("wire", WireFormat)
def test_matrix_has_a_row_for_each_operation(wire: WireFormat) -> None:
    described = {
        operation["operationId"]
        for methods in document(wire)["paths"].values()
        for method, operation in methods.items()
        if method != "parameters"
    }
    rows = set()
    for name in MATRIX:
        method, template = name.split()
        operation = operation_of(wire, method=method, path=full(template.partition("?")[0]))
        assert operation, name
        rows.add(operation["operationId"])
    assert rows == described
