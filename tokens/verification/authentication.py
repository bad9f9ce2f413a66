"""Authenticates API requests for DRF.

A step of the request has already identified the caller. This module passes the identity to DRF, and
describes the ways to send a session token in the OpenAPI document.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request

from kernel.http.headers import SESSION_TOKEN
from kernel.http.identity import Identity
from kernel.http.results import results_of
from kernel.http.wire import Schema
from tokens.verification.extraction import COOKIE, is_in_cookie_only, require_same_origin

if TYPE_CHECKING:
    from drf_spectacular.openapi import AutoSchema

USE_HEADER = f"Send the session token in the header {SESSION_TOKEN} instead."


class SessionTokenAuthentication(BaseAuthentication):
    """Gives DRF the identity that the middleware has attached to the request."""

    def authenticate(self, request: Request) -> tuple[Identity, Identity] | None:
        results = results_of(request)
        call, identity = results.call, results.caller.identity
        if identity is None:
            return None
        if is_in_cookie_only(call, results.caller.presented):
            require_same_origin(call, advice=USE_HEADER)
        return identity, identity

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="coder"'


# --- For the schema ---------------------------------------------------------------------------

_FORMAT = "A session token, `<id>-<secret>`"


def _sent_in(place: str, name: str, description: str) -> Schema:
    return {"type": "apiKey", "in": place, "name": name, "description": f"{_FORMAT}, {description}"}


SCHEMES: dict[str, Schema] = {
    "session-token-header": _sent_in("header", SESSION_TOKEN, "in Coder's own header."),
    "session-token-cookie": _sent_in(
        "cookie",
        COOKIE,
        "in the cookie that signing in sets. Writes from other sites are rejected.",
    ),
    "session-token-query": _sent_in(
        "query",
        COOKIE,
        "in the URL. Servers and proxies may log URLs, so use it only if the client can send "
        "neither a header nor a cookie.",
    ),
    "session-token-bearer": {
        "type": "http",
        "scheme": "bearer",
        "description": f"{_FORMAT}, in the `Authorization` header as in OAuth 2.0.",
    },
}
# A request needs only one of these schemes.
SECURITY: list[dict[str, list[str]]] = [{name: []} for name in SCHEMES]


class SessionTokenScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = SessionTokenAuthentication
    name = list(SCHEMES)

    def get_security_requirement(self, auto_schema: AutoSchema) -> list[dict[str, list[str]]]:
        return SECURITY

    def get_security_definition(self, auto_schema: AutoSchema) -> list[Schema]:
        return list(SCHEMES.values())
