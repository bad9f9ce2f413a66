"""The ways to carry a session token."""

from __future__ import annotations

from typing import TYPE_CHECKING

from drf_spectacular.extensions import OpenApiAuthenticationExtension

from kernel.http.wire import Schema

if TYPE_CHECKING:
    from drf_spectacular.openapi import AutoSchema

_CARRIED = "A session token, `<id>-<secret>`"

SCHEMES: dict[str, Schema] = {
    "session-token-header": {
        "type": "apiKey",
        "in": "header",
        "name": "Coder-Session-Token",
        "description": f"{_CARRIED}, in a header of its own.",
    },
    "session-token-cookie": {
        "type": "apiKey",
        "in": "cookie",
        "name": "coder_session_token",
        "description": f"{_CARRIED}, in the cookie that signing in sets. Writes need a CSRF proof "
        "besides: the value of the cookie `csrf_token` in the header `X-CSRF-TOKEN`.",
    },
    "session-token-query": {
        "type": "apiKey",
        "in": "query",
        "name": "coder_session_token",
        "description": f"{_CARRIED}, in the address. Addresses are logged: use it only where "
        "neither a header nor a cookie can be sent.",
    },
    "session-token-bearer": {
        "type": "http",
        "scheme": "bearer",
        "description": f"{_CARRIED}, as OAuth 2.0 carries it in the `Authorization` header.",
    },
}
# Any one of them is enough.
SECURITY: list[dict[str, list[str]]] = [{name: []} for name in SCHEMES]


class SessionTokenScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = "tokens.authentication.SessionTokenAuthentication"
    name = list(SCHEMES)

    def get_security_requirement(self, auto_schema: AutoSchema) -> list[dict[str, list[str]]]:
        return SECURITY

    def get_security_definition(self, auto_schema: AutoSchema) -> list[Schema]:
        return list(SCHEMES.values())
