"""Who may report."""

from __future__ import annotations

from collections.abc import Mapping

from django.conf import settings

from csp import ingest_keys
from kernel.http.content_policy import REPORTS_PATH
from kernel.http.errors import APIError
from kernel.http.identity import Identity
from tokens import refusals


def is_open_to(path: str, query: Mapping[str, str], *, origin: str) -> bool:
    """Whether a page of that origin may report here, which the answer's CORS headers then say.

    No cookie of ours ever comes from another origin, so nothing but a key or openness lets it in.
    """
    if path != REPORTS_PATH:
        return False
    key = query.get(ingest_keys.PARAMETER, "")
    return ingest_keys.is_for(key, origin) if key else settings.CSP_ACCESS == "public"


def check(
    query: Mapping[str, str],
    *,
    origin: str,
    identity: Identity | None,
    refusal: APIError | None,
) -> None:
    """Lets in who may report: with an ingest key, with a session token, or anybody.

    Raises: APIError 401 with the cause, 403 for an ingest key elsewhere, 410 for a retired one.
    """
    key = query.get(ingest_keys.PARAMETER, "")
    if key:
        ingest_keys.check(key, origin=origin)
    elif settings.CSP_ACCESS == "ingest-key":
        raise APIError(401, "An ingest key is needed.", detail="Send it as ?key=cik_….")
    elif settings.CSP_ACCESS != "public" and identity is None:
        raise refusal or refusals.missing()
