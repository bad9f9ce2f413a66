"""Hands to DRF what the session-token middleware found."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.middleware.csrf import CsrfViewMiddleware, get_token
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request

from kernel.http.errors import APIError
from kernel.http.identity import IdentifiedRequest, Identity, TokenSource
from kernel.http.wire import Schema
from tokens.extraction import COOKIE, HEADER, bearer

if TYPE_CHECKING:
    from drf_spectacular.openapi import AutoSchema

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


class SessionTokenAuthentication(BaseAuthentication):
    """The identity that the middleware attached. A write by cookie needs a CSRF proof besides."""

    def authenticate(self, request: Request) -> tuple[Identity, Identity] | None:
        identified = cast("IdentifiedRequest", request._request)
        if identified.identity is None:
            return None
        if _came_by_cookie(identified):
            _ensure_csrf_cookie(identified)
            if _needs_csrf_proof(identified):
                enforce_csrf(identified)
        return identified.identity, identified.identity

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="coder"'


def _came_by_cookie(request: IdentifiedRequest) -> bool:
    return request.presented is not None and request.presented.source is TokenSource.COOKIE


def _ensure_csrf_cookie(request: HttpRequest) -> None:
    """Has the answer set the cookie that a later write's proof is made from, if there is none."""
    if not request.COOKIES.get(settings.CSRF_COOKIE_NAME):
        get_token(request)


def _needs_csrf_proof(request: IdentifiedRequest) -> bool:
    if request.method in SAFE_METHODS or request.presented is None:
        return False
    # Another origin can make a browser send a cookie, but can neither read it nor set a header.
    also_sent = (request.headers.get(HEADER), request.GET.get(COOKIE))
    has_bearer = bool(bearer(request.headers.get("Authorization", "")))
    return not has_bearer and request.presented.token not in also_sent


class _Check(CsrfViewMiddleware):
    def _reject(self, request: HttpRequest, reason: str) -> str:
        return reason


def enforce_csrf(request: HttpRequest) -> None:
    """Django's own check of the `csrf_token` cookie against the X-CSRF-TOKEN header.

    Raises: APIError 400, as Coder answers.
    """
    check = _Check(lambda _: HttpResponse())
    check.process_request(request)
    reason = check.process_view(request, lambda *_: HttpResponse(), (), {})
    if reason:
        raise APIError(
            400,
            "The CSRF token is missing or wrong.",
            detail=f"{reason} Send the csrf_token cookie's value in the X-CSRF-TOKEN header.",
        )


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
    target_class = SessionTokenAuthentication
    name = list(SCHEMES)

    def get_security_requirement(self, auto_schema: AutoSchema) -> list[dict[str, list[str]]]:
        return SECURITY

    def get_security_definition(self, auto_schema: AutoSchema) -> list[Schema]:
        return list(SCHEMES.values())
