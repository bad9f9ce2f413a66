"""Finds the session token in a request."""

from __future__ import annotations

import re
from functools import cache

from kernel.http.call import Call
from kernel.http.headers import SESSION_TOKEN
from kernel.http.identity import TOKEN_PARAMETERS, PresentedToken
from kernel.settings import settings

COOKIE, ACCESS_TOKEN = TOKEN_PARAMETERS
HEADER = SESSION_TOKEN.lower()


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
    """
    # Most requests of clients with tokens have other cookies or none.
    found = _cookie(name).search(header) if name in header else None
    return found[1].strip().strip('"') if found else ""


@cache
def _cookie(name: str) -> re.Pattern[str]:
    return re.compile(rf"(?:^|;)\s*{re.escape(name)}=([^;]*)")


def bearer(authorization: str) -> str:
    """Returns the token of an Authorization header with the Bearer scheme, or ""."""
    scheme, _, token = authorization.partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""
