"""The contract of the roles: the status of each operation for each of them."""

from __future__ import annotations

from typing import Any

# operation: status for owner, auditor, user-admin, template-admin, member, anonymous
MATRIX: dict[str, tuple[int, int, int, int, int, int]] = {
    "GET /": (200, 200, 200, 200, 200, 200),
    "GET /buildinfo": (200, 200, 200, 200, 200, 200),
    "GET /updatecheck": (200, 200, 200, 200, 200, 200),
    "POST /csp/reports": (200, 200, 200, 200, 200, 401),
    "GET /api/coderapi/v1/csp/groups": (200, 200, 403, 403, 403, 401),
    "GET /api/coderapi/v1/csp/groups/{group}": (200, 200, 403, 403, 403, 401),
    "PATCH /api/coderapi/v1/csp/groups/{group}": (200, 403, 403, 403, 403, 401),
    "GET /api/coderapi/v1/csp/gate": (400, 400, 403, 403, 403, 401),  # 400: it names no versions
    "GET /api/coderapi/v1/csp/summary": (200, 200, 403, 403, 403, 401),
    "GET /api/coderapi/v1/stats/history": (200, 200, 403, 403, 403, 401),
    "POST /api/coderapi/v1/stats/agent-rows": (200, 403, 403, 403, 403, 401),
    "GET /deployment/config": (200, 200, 403, 403, 403, 401),
    "GET /deployment/stats": (400, 400, 403, 403, 403, 401),  # 400: no snapshot has been taken
    "GET /deployment/ssh": (200, 200, 200, 200, 200, 401),
    "GET /experiments": (200, 200, 200, 200, 200, 401),
    "GET /experiments/available": (200, 200, 200, 200, 200, 401),
    "GET /users/me/keys/tokens/tokenconfig": (200, 200, 200, 200, 200, 401),
    "GET /users/stranger/keys/tokens/tokenconfig": (200, 200, 200, 200, 400, 401),
    "GET /api/coderapi/v1/users/me/token-policy": (200, 200, 200, 200, 200, 401),
    "GET /api/coderapi/v1/users/stranger/token-policy": (200, 200, 200, 200, 400, 401),
    "GET /users/me/keys/tokens": (200, 200, 200, 200, 200, 401),
    "GET /users/stranger/keys/tokens": (200, 200, 200, 200, 400, 401),
    "GET /users/me/keys/tokens?include_all=true": (200, 200, 200, 200, 200, 401),
    "POST /users/me/keys": (201, 201, 201, 201, 201, 401),
    "POST /users/me/keys/tokens": (201, 201, 201, 201, 201, 401),
    "POST /users/stranger/keys": (201, 403, 403, 403, 400, 401),
    "POST /users/stranger/keys/tokens": (201, 403, 403, 403, 400, 401),
    "GET /users/stranger/keys/{key}": (200, 404, 404, 404, 400, 401),
    "GET /users/stranger/keys/tokens/theirs": (200, 404, 404, 404, 400, 401),
    "PUT /users/stranger/keys/{key}/expire": (204, 404, 404, 404, 400, 401),
    "DELETE /users/stranger/keys/{key}": (204, 404, 404, 404, 400, 401),
    "GET /users/me/keys/{key}": (200, 404, 404, 404, 404, 401),
    "PUT /users/me/keys/{key}/expire": (204, 404, 404, 404, 404, 401),
    "DELETE /users/me/keys/{key}": (204, 404, 404, 404, 404, 401),
    "GET /users": (200, 200, 200, 200, 403, 401),
    "GET /organizations": (200, 200, 200, 200, 200, 401),
    "GET /organizations/coder": (200, 200, 200, 200, 200, 401),
    "GET /organizations/coder/members": (200, 200, 200, 200, 403, 401),
    "GET /organizations/coder/paginated-members": (200, 200, 200, 200, 403, 401),
    "GET /users/me": (200, 200, 200, 200, 200, 401),
    "GET /users/stranger": (200, 200, 200, 200, 400, 401),
    "GET /users/me/login-type": (200, 200, 200, 200, 200, 401),
    "GET /users/stranger/login-type": (403, 403, 403, 403, 400, 401),
    "POST /users": (400, 403, 400, 403, 403, 401),  # 400: the body is empty
    "DELETE /users/stranger": (200, 403, 200, 403, 400, 401),
    "DELETE /users/another-owner": (200, 403, 403, 403, 400, 401),
    "PUT /users/stranger/status/suspend": (200, 403, 200, 403, 400, 401),
    "PUT /users/stranger/status/activate": (200, 403, 200, 403, 400, 401),
    "PUT /users/another-owner/status/suspend": (200, 403, 403, 403, 400, 401),
    "PUT /users/stranger/password": (204, 403, 204, 403, 400, 401),
    "PUT /users/another-owner/password": (204, 403, 403, 403, 400, 401),
    "PUT /users/stranger/roles": (200, 403, 403, 403, 400, 401),
    "GET /users/roles": (200, 200, 200, 200, 200, 401),
    "GET /users/stranger/roles": (200, 200, 200, 200, 400, 401),
    "GET /users/stranger/organizations": (200, 200, 200, 200, 400, 401),
    "GET /users/stranger/organizations/coder": (200, 200, 200, 200, 400, 401),
    "POST /users/login": (400, 400, 400, 400, 400, 400),  # 400: the body is empty
    "POST /users/first": (409, 409, 409, 409, 409, 400),  # 409: there is a user
    "POST /authcheck": (200, 200, 200, 200, 200, 401),
    "POST /users/logout": (200, 200, 200, 200, 200, 401),
    "GET /users/authmethods": (200, 200, 200, 200, 200, 200),
    "GET /users/first": (200, 200, 200, 200, 200, 404),  # 404: there is no user
}
# The bodies of the requests that need one.
BODIES: dict[str, Any] = {
    "PATCH /api/coderapi/v1/csp/groups/{group}": {"state": "resolved"},
    "POST /api/coderapi/v1/stats/agent-rows": [],
    "POST /csp/reports": {"csp-report": {"effective-directive": "img-src"}},
    "PUT /users/stranger/password": {"password": "another-horse-battery"},
    "PUT /users/another-owner/password": {"password": "another-horse-battery"},
    "PUT /users/stranger/roles": {"roles": ["auditor"]},
    "POST /authcheck": {"checks": {}},
}
