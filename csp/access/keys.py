"""Checks ingest keys, and which senders may report.

An ingest key is `cik_`, 22 random characters, and the CRC-32 of both in 6 characters. So a mistyped
or invented key is refused without a query.
"""

from __future__ import annotations

import re
import secrets
import string
import zlib
from collections.abc import Mapping

from django.conf import settings
from django.utils import timezone

from csp.models import IngestKey
from kernel.http.errors import APIError
from kernel.http.identity import Identity
from kernel.memory import Memory, Remembered
from tokens import refusals

PARAMETER = "key"
PREFIX = "cik_"
TOPIC = "ingest_key"
_ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase
_FORM = re.compile(r"cik_[0-9A-Za-z]{28}")


def new_key() -> str:
    body = PREFIX + "".join(secrets.choice(_ALPHABET) for _ in range(22))
    return body + _checksum(body)


def report_headers(key: str) -> list[str]:
    """Returns the two headers with which a page's browsers report to this service."""
    url = f"{settings.ACCESS_URL.rstrip('/')}{settings.CSP_REPORTS_PATH}?{PARAMETER}={key}"
    policy = f"script-src 'self'; report-to csp; report-uri {url}"
    return [
        f'Reporting-Endpoints: csp="{url}"',
        f"Content-Security-Policy-Report-Only: {policy}",
    ]


def _checksum(body: str) -> str:
    """Returns the CRC-32 of the text in six characters of base 62."""
    number, digits = zlib.crc32(body.encode()), ""
    for _ in range(6):
        number, digit = divmod(number, len(_ALPHABET))
        digits = _ALPHABET[digit] + digits
    return digits


def is_well_formed(key: str) -> bool:
    return bool(_FORM.fullmatch(key)) and _checksum(key[:-6]) == key[-6:]


# The whole table is one value, so that an unknown key causes no query. While this process receives
# no announcements, it learns of a retired key after five seconds.
MEMORY: Memory[str, dict[str, IngestKey]] = Memory(
    "ingest keys", capacity=1, topics=(TOPIC,), deaf_age=5.0
)


def find(key: str) -> IngestKey | None:
    """Returns the ingest key, or None for an unknown one. Raises: DatabaseError."""
    if not is_well_formed(key):
        return None
    known = MEMORY.get("") or MEMORY.load("", _all)
    return known.get(key)


def _all() -> Remembered[dict[str, IngestKey]]:
    return Remembered({row.key: row for row in IngestKey.objects.all()})


def is_open_to(path: str, query: Mapping[str, str], *, origin: str) -> bool:
    """Returns whether a page of that origin may report, which allows the CORS headers.

    Browsers send our cookies from no other origin, so only a key or public access counts here. A
    retired key counts too: the page must be able to read the 410.
    """
    if path != settings.CSP_REPORTS_PATH:
        return False
    key = query.get(PARAMETER, "")
    if not key:
        return bool(settings.CSP_ACCESS == "public")
    known = find(key)
    return known is not None and origin in known.origins


def check(
    query: Mapping[str, str],
    *,
    origin: str,
    identity: Identity | None,
    refusal: APIError | None,
) -> None:
    """Checks the sender of a report: its ingest key or session token.

    Raises: APIError 401 with the cause, 403 for another origin, 410 for a retired key.
    """
    key = query.get(PARAMETER, "")
    if key:
        _check_key(key, origin=origin)
    elif settings.CSP_ACCESS == "ingest-key":
        raise APIError(401, "An ingest key is required.", detail="Send it as ?key=cik_….")
    elif settings.CSP_ACCESS != "public" and identity is None:
        raise refusal or refusals.missing()


def _check_key(key: str, *, origin: str) -> None:
    """Raises an APIError if the key does not allow this origin to report.

    A request without an Origin header is accepted: some browsers send none with a same-origin
    report, and other programs can send any. `null` must be on the list, because any page in a
    sandbox sends it.
    """
    known = find(key)
    if known is None:
        raise APIError(401, "The ingest key is unknown.", detail="Keys are cik_ and 28 characters.")
    if known.retired_at is not None and known.retired_at <= timezone.now():
        raise APIError(410, "The ingest key is retired.", detail="Stop reporting to this address.")
    if origin and origin not in known.origins:
        raise APIError(403, "Forbidden.", detail="The ingest key is not for this origin.")
