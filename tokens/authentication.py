"""Hands the middleware's identity to DRF, describes it to the schema, and rejects other sites.

Two kinds of writes must not come from another site: those that only the cookie authenticates, and
signing in, which needs no cookie. A browser names the site in `Sec-Fetch-Site` (over https and on
loopback) or in `Origin`. A request with neither header does not come from a browser, so it carries
no cookie of a victim. This is the rule of Go's `net/http.CrossOriginProtection`. It needs no CSRF
cookie: on a host name that is shared with Coder, the cookie `csrf_token` is Coder's.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request

from kernel.http import API_PREFIX
from kernel.http.errors import APIError
from kernel.http.handlers import error_response
from kernel.http.hosts import with_port
from kernel.http.identity import IdentifiedRequest, Identity, TokenSource
from kernel.http.wire import Schema
from tokens.extraction import COOKIE, HEADER, bearer

if TYPE_CHECKING:
    from drf_spectacular.openapi import AutoSchema

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
# `none` is a typed address or a bookmark. `same-site` is rejected: workspace applications run on
# sibling hosts.
TRUSTED_SITES = frozenset({"same-origin", "none"})
SIGN_IN_PATHS = frozenset({f"{API_PREFIX}/users/login", f"{API_PREFIX}/users/first"})
USE_HEADER = "Send the session token in the header Coder-Session-Token instead."
USE_LOGIN_PAGE = "Sign in on the page /login of this service, or from a program."


class SessionTokenAuthentication(BaseAuthentication):
    """Hands on the identity that the middleware attached."""

    def authenticate(self, request: Request) -> tuple[Identity, Identity] | None:
        identified = cast("IdentifiedRequest", request._request)
        if identified.identity is None:
            return None
        if _is_in_cookie_only(identified):
            require_same_origin(identified.META, advice=USE_HEADER)
        return identified.identity, identified.identity

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="coder"'


def _is_in_cookie_only(request: IdentifiedRequest) -> bool:
    """Returns whether only the cookie has the token. Another site can send it in no other place."""
    if request.presented is None or request.presented.source is not TokenSource.COOKIE:
        return False
    also_sent = (request.headers.get(HEADER), request.GET.get(COOKIE))
    has_bearer = bool(bearer(request.headers.get("Authorization", "")))
    return not has_bearer and request.presented.token not in also_sent


class SignInOriginMiddleware:
    """Rejects sign-ins from other sites before anything of the request is read or counted."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if request.path in SIGN_IN_PATHS:
            try:
                require_same_origin(request.META, advice=USE_LOGIN_PAGE)
            except APIError as error:
                return error_response(error)
        return self.get_response(request)


def require_same_origin(environ: Mapping[str, Any], *, advice: str) -> None:
    """Raises: APIError 400 for a write that another site sent."""
    if environ["REQUEST_METHOD"] in SAFE_METHODS:
        return
    site, origin = environ.get("HTTP_SEC_FETCH_SITE", ""), environ.get("HTTP_ORIGIN", "")
    host = environ.get("HTTP_HOST", "")
    if is_cross_site(site, origin, host=host, own_origins=settings.CSRF_TRUSTED_ORIGINS):
        cause = f"Sec-Fetch-Site is {site[:64]!r}" if site else f"Origin is {origin[:256]!r}"
        raise APIError(400, "Another site sent this request.", detail=f"{cause}. {advice}")


def is_cross_site(site: str, origin: str, *, host: str, own_origins: Collection[str]) -> bool:
    """Returns whether another site sent these headers. Source: Go's CrossOriginProtection."""
    if site:
        return site not in TRUSTED_SITES
    if not origin or origin in own_origins:
        return False
    try:
        parts = urlsplit(origin)
    except ValueError:
        return True
    return not parts.netloc or parts.netloc.lower() != with_port(host, parts.scheme)


# --- For the schema ---------------------------------------------------------------------------

_FORMAT = "A session token, `<id>-<secret>`"

SCHEMES: dict[str, Schema] = {
    "session-token-header": {
        "type": "apiKey",
        "in": "header",
        "name": "Coder-Session-Token",
        "description": f"{_FORMAT}, in a header of its own.",
    },
    "session-token-cookie": {
        "type": "apiKey",
        "in": "cookie",
        "name": "coder_session_token",
        "description": f"{_FORMAT}, in the cookie that signing in sets. Writes that another "
        "site has a browser send are refused.",
    },
    "session-token-query": {
        "type": "apiKey",
        "in": "query",
        "name": "coder_session_token",
        "description": f"{_FORMAT}, in the address. Addresses are logged: use it only where "
        "neither a header nor a cookie can be sent.",
    },
    "session-token-bearer": {
        "type": "http",
        "scheme": "bearer",
        "description": f"{_FORMAT}, as OAuth 2.0 carries it in the `Authorization` header.",
    },
}
# One of these is enough.
SECURITY: list[dict[str, list[str]]] = [{name: []} for name in SCHEMES]


class SessionTokenScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = SessionTokenAuthentication
    name = list(SCHEMES)

    def get_security_requirement(self, auto_schema: AutoSchema) -> list[dict[str, list[str]]]:
        return SECURITY

    def get_security_definition(self, auto_schema: AutoSchema) -> list[Schema]:
        return list(SCHEMES.values())
