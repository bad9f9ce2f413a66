"""Refuses writes that another site has a browser send with our cookie.

Browsers tell who sent a request: by Fetch Metadata (`Sec-Fetch-Site`) over https and on loopback,
else by `Origin`. What tells neither is no browser, and has no cookie that somebody else could use.
The rule is the one of Go's `net/http.CrossOriginProtection`. It needs no token and no cookie of its
own: on a host name that is shared with Coder, a cookie named `csrf_token` is Coder's.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings

from kernel.http.errors import APIError
from kernel.http.middleware import with_port

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
# `none` is a person: an address typed, a bookmark. A site beside us is not let in: applications in
# workspaces live there.
TRUSTED_SITES = frozenset({"same-origin", "none"})


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
