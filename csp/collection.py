"""Taking in a request's reports, as a function of plain values: views and the fast lane call it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.conf import settings

from coderapi import wire
from coderapi.errors import APIError, Validation, invalid
from coderapi.identity import Identity
from csp import access, metrics, writer
from csp.entries import Entry, make_entry
from csp.parsers import Parsed, parse
from csp.tolerant_json import load

ANSWER = b'"ok"'
LARGEST_SINGLE = 64 * 1024
OPERATION = "report-csp-violations"


@dataclass(frozen=True, slots=True)
class Call:
    """What of a request matters here. `refusal` says why there is no identity."""

    body: bytes
    identity: Identity | None
    refusal: APIError | None
    address: str
    query: Mapping[str, str]
    origin: str = ""
    user_agent: str = ""


def collect(call: Call, *, now: datetime) -> bytes:
    """The answer's body, once every report in the call is committed.

    Raises: APIError 401, 403 or 410 (who reports), 400 or 413 (what), 503 (no database).
    """
    access.check(call.query, origin=call.origin, identity=call.identity, refusal=call.refusal)
    value = load(call.body)
    if not _is_nothing(value):
        _store(_parsed(value, size=len(call.body)), call, now=now)
    return ANSWER


def _is_nothing(value: Any) -> bool:
    """Whether there is no report, and that is well in the current wire. Raises: APIError 400."""
    if value is not None and value != {}:
        return False
    refusal = invalid(Validation("csp-report", "must be an object"))
    if wire.apply(f"{OPERATION}/nothing", refusal) is None:
        return True
    raise refusal


def _parsed(value: Any, *, size: int) -> Parsed:
    if size > LARGEST_SINGLE and not isinstance(value, list):
        raise APIError(
            413,
            "The report is too large.",
            detail=f"It has {size} bytes; the limit for a single report is {LARGEST_SINGLE}.",
        )
    parsed = parse(value)
    metrics.REPORTS.labels("other").inc(parsed.other)
    metrics.REPORTS.labels("invalid").inc(parsed.invalid)
    return parsed


def _store(parsed: Parsed, call: Call, *, now: datetime) -> None:
    if parsed.violations:
        writer.write(entries_of(parsed, address=call.address, user_agent=call.user_agent, now=now))


def entries_of(parsed: Parsed, *, address: str, user_agent: str, now: datetime) -> list[Entry]:
    return [
        make_entry(
            violation,
            address=address,
            user_agent=user_agent,
            now=now,
            secret=settings.SECRET_KEY,
            coder_version=settings.CODER_VERSION,
        )
        for violation in parsed.violations
    ]
