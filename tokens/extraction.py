"""Finding the session token in a request."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from kernel.http.identity import Presented, TokenSource

COOKIE = "coder_session_token"
HEADER = "Coder-Session-Token"
ACCESS_TOKEN = "access_token"  # noqa: S105 - the name of a query parameter, no secret


def presented_token(
    *, cookies: Mapping[str, str], query: Mapping[str, str], headers: Mapping[str, str]
) -> Presented | None:
    """Returns the first non-empty token in Coder's order; no other place is tried then.

    Source: the contract's "who is asking".
    """
    places: list[tuple[TokenSource, Callable[[], str]]] = [
        (TokenSource.COOKIE, lambda: cookies.get(COOKIE, "")),
        (TokenSource.QUERY, lambda: query.get(COOKIE, "")),
        (TokenSource.HEADER, lambda: headers.get(HEADER, "")),
        (TokenSource.BEARER, lambda: bearer(headers.get("Authorization", ""))),
        (TokenSource.ACCESS_TOKEN, lambda: query.get(ACCESS_TOKEN, "")),
    ]
    for source, read in places:
        token = read()
        if token:
            return Presented(token, source)
    return None


def first_cookie(header: str, name: str) -> str:
    """Returns the value of the first cookie of that name in a Cookie header, or "".

    Django's own reading gives the last one, Coder's the first: another path or a sub-domain could
    plant a second one behind it.
    """
    for pair in header.split(";"):
        found, equals, value = pair.strip().partition("=")
        if equals and found == name:
            return value.strip().strip('"')
    return ""


def bearer(authorization: str) -> str:
    """Returns the token of a bearer's Authorization header, or ""."""
    scheme, _, token = authorization.partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""
