"""Finds the session token in a request, and rejects requests from other sites.

Another site must not be able to sign a user in, or to send a write that only the session cookie
authenticates. A browser sends `Sec-Fetch-Site` (over https and on loopback) or `Origin`. A request
without both headers does not come from a browser, so it cannot use a victim's cookie. Source: Go's
`net/http.CrossOriginProtection`. This check needs no CSRF cookie. The API cannot use a CSRF
cookie, because Coder may use the cookie `csrf_token` on the same host name.
"""

from __future__ import annotations

import re
from functools import cache
from itertools import islice

from rest_framework.permissions import SAFE_METHODS

from kernel.http.call import Call
from kernel.http.errors import APIError
from kernel.http.headers import SESSION_TOKEN
from kernel.http.identity import TOKEN_PARAMETERS, PresentedToken
from kernel.http.steps.hosts import scheme_of, with_port
from kernel.settings import settings

COOKIE, ACCESS_TOKEN = TOKEN_PARAMETERS
HEADER = SESSION_TOKEN.lower()
# The number of cookies that are tried whose name ends with the name of the session cookie.
MAX_SIMILAR = 8
# Browsers send `none` for a URL that the user has typed, and for a bookmark. `same-site` is
# rejected, because workspace applications run on other hosts of the same site.
TRUSTED_SITES = frozenset({"same-origin", "none"})


def presented_token(call: Call) -> PresentedToken | None:
    """Returns the first non-empty token, or None. Searches in the same order as Coder.

    If that token is invalid, tokens in later places are not tried. Source: the contract's "who is
    asking".
    """
    query, headers = call.parameters, call.headers
    cookies = headers.get("cookie")
    if cookies and (token := _session_cookie(cookies)):
        return PresentedToken(token, is_cookie=True)
    sent = (
        query.get(COOKIE)
        or headers.get(HEADER)
        or bearer(headers.get("authorization", ""))
        or query.get(ACCESS_TOKEN)
    )
    return PresentedToken(sent, is_cookie=False) if sent else None


def _session_cookie(header: str) -> str:
    # Coder 2.31 and newer have the option CODER_HOST_PREFIX_COOKIE.
    own = f"__Host-{COOKIE}" if settings.USER_SOURCE == "coder" else settings.SESSION_TOKEN_COOKIE
    return first_cookie(header, own) or first_cookie(header, COOKIE)


def first_cookie(header: str, name: str) -> str:
    """Returns the value of the first cookie with this name in a Cookie header, or "".

    Coder reads the first cookie, but Django reads the last one. Another host of the same domain
    could add a second cookie with the same name.

    This runs in the event loop, before the rate limit. So it searches for the name and does not
    parse other cookies: those of a large head would take fifty times as long.
    """
    before = 0
    for found in islice(_named(name).finditer(header), MAX_SIMILAR):
        if not header[before : found.start()].rpartition(";")[2].strip():
            return found[1].strip().strip('"')
        # The name is the end of another name.
        before = found.end()
    return ""


@cache
def _named(name: str) -> re.Pattern[str]:
    return re.compile(rf"{re.escape(name)}=([^;]*)")


def bearer(authorization: str) -> str:
    """Returns the token of an Authorization header with the Bearer scheme, or ""."""
    scheme, _, token = authorization.partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


# --- Other sites ------------------------------------------------------------------------------


def has_foreign_cookie(call: Call, presented: PresentedToken | None) -> bool:
    """Returns whether another site has sent the request, and only the cookie has the token."""
    return is_in_cookie_only(call, presented) and _is_cross_site(call)


def is_in_cookie_only(call: Call, presented: PresentedToken | None) -> bool:
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
