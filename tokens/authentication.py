"""Hands to DRF what the session-token middleware found, and describes it to the schema.

A write that the cookie alone authenticates is refused when another site sent it. Browsers tell who
sent a request: by Fetch Metadata (`Sec-Fetch-Site`) over https and on loopback, else by `Origin`.
What tells neither is no browser, and has no cookie that somebody else could use. The rule is the
one of Go's `net/http.CrossOriginProtection`. It needs no token and no cookie of its own: on a host
name that is shared with Coder, a cookie named `csrf_token` is Coder's.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

from django.conf import settings
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request

from kernel.http.errors import APIError
from kernel.http.hosts import with_port
from kernel.http.identity import IdentifiedRequest, Identity, TokenSource
from kernel.http.wire import Schema
from tokens.extraction import COOKIE, HEADER, bearer

if TYPE_CHECKING:
    from drf_spectacular.openapi import AutoSchema


SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
# `none` is a person: an address typed, a bookmark. A site beside us is not let in: applications in
# workspaces live there.
TRUSTED_SITES = frozenset({"same-origin", "none"})


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


def refuse_cross_site(environ: Mapping[str, Any]) -> None:
    """Raises: APIError 400 for a write that another site sent."""
    if environ["REQUEST_METHOD"] in SAFE_METHODS:
        return
    site, origin = environ.get("HTTP_SEC_FETCH_SITE", ""), environ.get("HTTP_ORIGIN", "")
    host = environ.get("HTTP_HOST", "")
    if is_cross_site(site, origin, host=host, own_origins=settings.CSRF_TRUSTED_ORIGINS):
        named = f"Sec-Fetch-Site is {site[:64]!r}" if site else f"Origin is {origin[:256]!r}"
        raise APIError(
            400,
            "Another site sent this request.",
            detail=f"{named}. Send the session token in the header Coder-Session-Token instead.",
        )


def is_cross_site(site: str, origin: str, *, host: str, own_origins: Collection[str]) -> bool:
    """Tells whether another site sent a request with these headers; `own_origins` are ours too."""
    if site:
        return site not in TRUSTED_SITES
    if not origin or origin in own_origins:
        return False
    try:
        found = urlsplit(origin)
    except ValueError:
        return True
    return not found.netloc or found.netloc.lower() != with_port(host, found.scheme)


# --- For the schema ---------------------------------------------------------------------------

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
