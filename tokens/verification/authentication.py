"""Authenticates API requests for DRF, and rejects requests from other sites.

A step of the request has already identified the caller. This module passes the identity to
DRF, and describes the ways to send a session token in the OpenAPI document.

Another site must not be able to sign a user in, or to send a write that only the session cookie
authenticates. A browser sends `Sec-Fetch-Site` (over https and on loopback) or `Origin`. A request
without both headers does not come from a browser, so it cannot use a victim's cookie. Source: Go's
`net/http.CrossOriginProtection`. This check needs no CSRF cookie. The API cannot use a CSRF
cookie, because Coder may use the cookie `csrf_token` on the same host name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework.authentication import BaseAuthentication
from rest_framework.permissions import SAFE_METHODS
from rest_framework.request import Request

from kernel.http.call import Call
from kernel.http.errors import APIError
from kernel.http.headers import SESSION_TOKEN
from kernel.http.identity import Identity, PresentedToken
from kernel.http.results import results_of
from kernel.http.steps.hosts import scheme_of, with_port
from kernel.http.wire import Schema
from kernel.settings import settings
from tokens.verification.extraction import COOKIE, HEADER, bearer

if TYPE_CHECKING:
    from drf_spectacular.openapi import AutoSchema

# Browsers send `none` for a URL that the user has typed, and for a bookmark. `same-site` is
# rejected, because workspace applications run on other hosts of the same site.
TRUSTED_SITES = frozenset({"same-origin", "none"})
USE_HEADER = f"Send the session token in the header {SESSION_TOKEN} instead."


class SessionTokenAuthentication(BaseAuthentication):
    """Gives DRF the identity that the middleware has attached to the request."""

    def authenticate(self, request: Request) -> tuple[Identity, Identity] | None:
        results = results_of(request)
        call, identity = results.call, results.caller.identity
        if identity is None:
            return None
        if _is_in_cookie_only(call, results.caller.presented):
            require_same_origin(call, advice=USE_HEADER)
        return identity, identity

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="coder"'


def has_foreign_cookie(call: Call, presented: PresentedToken | None) -> bool:
    """Returns whether another site has sent the request, and only the cookie has the token."""
    return _is_in_cookie_only(call, presented) and _is_cross_site(call)


def _is_in_cookie_only(call: Call, presented: PresentedToken | None) -> bool:
    """Returns whether the cookie is the only source of the token.

    Another site can make a browser send the cookie, but not a header with the token.
    """
    if presented is None or not presented.is_cookie:
        return False
    also_sent = (call.headers.get(HEADER), call.parameters.get(COOKIE))
    has_bearer = bool(bearer(call.headers.get("authorization", "")))
    return not has_bearer and presented.token not in also_sent


def require_same_origin(call: Call, *, advice: str) -> None:
    """Rejects a write that another site has sent. Raises: APIError 400."""
    if call.method in SAFE_METHODS:
        return
    if _is_cross_site(call):
        site, origin = call.headers.get("sec-fetch-site", ""), call.headers.get("origin", "")
        cause = f"Sec-Fetch-Site is {site[:64]!r}" if site else f"Origin is {origin[:256]!r}"
        raise APIError(400, "Another site sent this request.", detail=f"{cause}. {advice}")


def _is_cross_site(call: Call) -> bool:
    """Returns whether another site sent the request."""
    site, origin = call.headers.get("sec-fetch-site", ""), call.headers.get("origin", "")
    if site:
        return site not in TRUSTED_SITES
    scheme = scheme_of(call)
    own = f"{scheme}://{with_port(call.headers.get('host', ''), scheme)}"
    return bool(origin) and origin.lower() not in {own, *settings.CSRF_TRUSTED_ORIGINS}


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
