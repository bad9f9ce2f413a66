"""Hands to DRF what the session-token middleware found, and describes it to the schema."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request

from kernel.http.cross_site import refuse_cross_site
from kernel.http.identity import IdentifiedRequest, Identity, TokenSource
from kernel.http.wire import Schema
from tokens.extraction import COOKIE, HEADER, bearer

if TYPE_CHECKING:
    from drf_spectacular.openapi import AutoSchema


class SessionTokenAuthentication(BaseAuthentication):
    """The identity that the middleware attached. A write by cookie must come from our own site."""

    def authenticate(self, request: Request) -> tuple[Identity, Identity] | None:
        identified = cast("IdentifiedRequest", request._request)
        if identified.identity is None:
            return None
        if _came_by_cookie_alone(identified):
            refuse_cross_site(identified.META)
        return identified.identity, identified.identity

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="coder"'


def _came_by_cookie_alone(request: IdentifiedRequest) -> bool:
    """Tells whether nothing but the cookie has the token. No other site can send it elsewhere."""
    if request.presented is None or request.presented.source is not TokenSource.COOKIE:
        return False
    also_sent = (request.headers.get(HEADER), request.GET.get(COOKIE))
    has_bearer = bool(bearer(request.headers.get("Authorization", "")))
    return not has_bearer and request.presented.token not in also_sent


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
        "description": f"{_CARRIED}, in the cookie that signing in sets. Writes that another "
        "site has a browser send are refused.",
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
    target_class = SessionTokenAuthentication
    name = list(SCHEMES)

    def get_security_requirement(self, auto_schema: AutoSchema) -> list[dict[str, list[str]]]:
        return SECURITY

    def get_security_definition(self, auto_schema: AutoSchema) -> list[Schema]:
        return list(SCHEMES.values())
