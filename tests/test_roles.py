"""Who may call what: the contract's matrix, cell by cell."""

from __future__ import annotations

from typing import Any

import pytest

from deployment.stats.models import Snapshot
from tests.client import APIClient
from tests.factories import make_key, make_user

EVERYBODY = ["owner", "auditor", "user-admin", "template-admin", "member", "anonymous"]

# operation: status for owner, auditor, user-admin, template-admin, member, anonymous
MATRIX: dict[str, tuple[int, int, int, int, int, int]] = {
    "GET /": (200, 200, 200, 200, 200, 200),
    "GET /buildinfo": (200, 200, 200, 200, 200, 200),
    "GET /updatecheck": (200, 200, 200, 200, 200, 200),
    "POST /csp/reports": (200, 200, 200, 200, 200, 401),
    "GET /deployment/config": (200, 200, 403, 403, 403, 401),
    "GET /deployment/stats": (400, 400, 403, 403, 403, 401),  # 400: no snapshot has been taken
    "GET /deployment/ssh": (200, 200, 200, 200, 200, 401),
    "GET /experiments": (200, 200, 200, 200, 200, 401),
    "GET /experiments/available": (200, 200, 200, 200, 200, 401),
    "GET /users/me/keys/tokens/tokenconfig": (200, 200, 200, 200, 200, 401),
    "GET /users/stranger/keys/tokens/tokenconfig": (200, 200, 200, 200, 400, 401),
}
# A report is committed by a writer that no test's transaction holds back.
COMMITS = {"POST /csp/reports"}
CELLS = [
    pytest.param(
        operation,
        role,
        status,
        marks=pytest.mark.django_db(transaction=operation in COMMITS),
        id=f"{operation} {role}",
    )
    for operation, statuses in MATRIX.items()
    for role, status in zip(EVERYBODY, statuses, strict=True)
]


def client_of(role: str) -> APIClient:
    if role == "anonymous":
        return APIClient()
    user = make_user(*([] if role == "member" else [role]))
    return APIClient(user=user, token=make_key(user).token)


def call(client: APIClient, operation: str) -> Any:
    method, path = operation.split()
    if method == "POST":
        return client.post_json(f"/api/v2{path}", b'{"csp-report": {}}')
    return client.get(f"/api/v2{path}")


@pytest.mark.parametrize(("operation", "role", "status"), CELLS)
def test_operation_answers_each_role_as_the_matrix_says(
    operation: str, role: str, status: int
) -> None:
    make_user(username="stranger")

    answer = call(client_of(role), operation)

    assert answer.status_code == status, answer.content
    assert Snapshot.objects.count() == 0


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
]


@pytest.mark.parametrize(("scope", "operation", "status"), SCOPES)
def test_scope_narrows_what_an_owners_key_may_do(
    db: None, scope: str, operation: str, status: int
) -> None:
    user = make_user("owner")
    client = APIClient(user=user, token=make_key(user, scopes=[scope]).token)

    assert call(client, operation).status_code == status


def test_scope_never_widens_the_role(db: None) -> None:
    user = make_user()
    key = make_key(user, scopes=["deployment_config:read"])

    answer = APIClient(token=key.token).get("/api/v2/deployment/config")

    assert answer.status_code == 403
    assert "Forbidden" in answer.json()["message"]
