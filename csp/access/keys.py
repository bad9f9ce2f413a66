"""Checks whether the sender of a report has a valid ingest key or session token.

An ingest key consists of `cik_` and 28 random characters.
"""

from __future__ import annotations

import secrets
import string
from collections.abc import Mapping

from django.utils import timezone

from csp.models import IngestKey
from kernel.http.asking import Asking, from_cache
from kernel.http.call import Call
from kernel.http.errors import APIError
from kernel.http.results import Results
from kernel.memory import CachedValue, Memory
from kernel.settings import settings
from tokens.verification import refusals

PARAMETER = "key"
# The parameter with the version of the page.
VERSION = "v"
PREFIX = "cik_"
TOPIC = "ingest_key"


def new_key() -> str:
    characters = string.digits + string.ascii_letters
    return PREFIX + "".join(secrets.choice(characters) for _ in range(28))


# The whole table is cached as one value, so that an unknown key does not cause a query. If this
# process receives no notifications, it uses the cached table for at most five seconds.
MEMORY: Memory[str, dict[str, IngestKey]] = Memory(
    "ingest keys", capacity=1, topics=(TOPIC,), max_age_disconnected=5.0
)


def all_keys() -> Asking[Mapping[str, IngestKey]]:
    """Returns the ingest keys by their value. Raises: DatabaseError."""
    return from_cache(MEMORY, "", _load)


def _load() -> dict[str, IngestKey]:
    return MEMORY.load("", lambda: CachedValue({row.value: row for row in IngestKey.objects.all()}))


def recalled_origins() -> frozenset[str]:
    """Returns the origins of all keys if they are cached. Never queries the database."""
    rows = (MEMORY.get("") or {}).values()
    return frozenset(origin for row in rows for origin in row.origins)


def name_of(key: str | None) -> str:
    """Returns the name of the ingest key in a request, `unknown key`, or "" without a key."""
    known = (MEMORY.get("") or {}).get(key) if key else None
    return known.name if known else "unknown key" if key else ""


async def is_open_to(call: Call) -> bool:
    """Returns whether a page of the request's origin may report.

    If so, the response has CORS headers. A page of another origin cannot send the session cookie,
    so it needs an ingest key or public access. For a retired key, the result is also True, because
    the browser must be able to read the 410 response.
    """
    if call.path != settings.CSP_REPORTS_PATH:
        return False
    key, origin = call.parameters.get(PARAMETER, ""), call.headers.get("origin", "")
    if not key:
        return bool(settings.CSP_ALLOWED_SENDERS == "public")
    known = await all_keys()
    return key in known and origin in known[key].origins


async def checked_key(results: Results) -> IngestKey | None:
    """Checks the ingest key or the session token of a request with reports. Returns the key.

    Raises: APIError 401 if both are missing or invalid, 403 if the key is not for this origin, 410
    if the key is retired; DatabaseError.
    """
    call, caller = results.call, results.caller
    if key := call.parameters.get(PARAMETER):
        known = await all_keys()
        return _valid(known.get(key), origin=call.headers.get("origin", ""))
    if settings.CSP_ALLOWED_SENDERS == "ingest-key":
        raise APIError(401, "An ingest key is required.", detail="Add ?key=cik_… to the URL.")
    if settings.CSP_ALLOWED_SENDERS != "public" and caller.identity is None:
        rejected = caller.refusal if caller.presented else None
        raise rejected or refusals.missing_for_reports()
    return None


def _valid(known: IngestKey | None, *, origin: str) -> IngestKey:
    """Returns the ingest key. Raises an APIError if it does not allow this origin to report.

    A request without an Origin header is accepted, because some browsers send no Origin header with
    a report to the same origin. A program that is not a browser can send any Origin header, so
    requiring the header would not stop it. The origin `null` must be one of the key's origins,
    because every sandboxed page sends it.
    """
    if known is None:
        raise APIError(401, "The ingest key is unknown.", detail="A key is cik_ and 28 characters.")
    if known.retired_at is not None and known.retired_at <= timezone.now():
        raise APIError(410, "The ingest key is retired.", detail="Stop reporting to this URL.")
    if origin and origin not in known.origins:
        raise APIError(403, "Forbidden.", detail="The ingest key is not for this origin.")
    return known
