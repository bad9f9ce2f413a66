"""Taking in a request's reports, as a function of plain values: views and the fast lane call it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from django.conf import settings

from csp import access, metrics, writer
from csp.entries import Entry, Prepared, make_entry, prepare
from csp.masking import remembered
from csp.parsers import parse
from csp.tolerant_json import load
from kernel.http import wire
from kernel.http.errors import APIError, Validation, invalid
from kernel.http.identity import Identity

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


@dataclass(frozen=True, slots=True)
class Held:
    """What a body holds: reports, and how many items of other types or of none."""

    reports: tuple[Prepared, ...] = ()
    other: int = 0
    invalid: int = 0


def collect(call: Call, *, now: datetime) -> bytes:
    """The answer's body, once every report in the call is committed.

    Raises: APIError 401, 403 or 410 (who reports), 400 or 413 (what), 503 (no database).
    """
    access.check(call.query, origin=call.origin, identity=call.identity, refusal=call.refusal)
    held = held_by(call.body)
    if held is None:
        _accept_nothing()
        return ANSWER
    _count(held)
    if held.reports:
        made = entries_of(held.reports, address=call.address, user_agent=call.user_agent, now=now)
        writer.write(made)
    return ANSWER


@remembered(512)
def held_by(body: bytes) -> Held | None:
    """What the body holds; None for an empty value. Browsers on one page send it word for word.

    Raises: APIError 400, 413.
    """
    value = load(body)
    if value is None or value == {}:
        return None
    if len(body) > LARGEST_SINGLE and not isinstance(value, list):
        raise APIError(
            413,
            "The report is too large.",
            detail=f"It has {len(body)} bytes; the limit for a single report is {LARGEST_SINGLE}.",
        )
    parsed = parse(value)
    return Held(tuple(map(prepare, parsed.violations)), parsed.other, parsed.invalid)


def _accept_nothing() -> None:
    """That there is no report is well in one of the wires only. Raises: APIError 400."""
    refusal = invalid(Validation("csp-report", "must be an object"))
    if wire.apply(f"{OPERATION}/nothing", refusal) is not None:
        raise refusal


def _count(held: Held) -> None:
    if held.other:
        metrics.REPORTS.labels("other").inc(held.other)
    if held.invalid:
        metrics.REPORTS.labels("invalid").inc(held.invalid)


def entries_of(
    reports: Iterable[Prepared],
    *,
    address: str,
    user_agent: str,
    now: datetime,
    coder_version: str | None = None,
) -> list[Entry]:
    """The entries of reports that came together, of today's version where none is given."""
    secret = settings.SECRET_KEY
    coder_version = settings.CODER_VERSION if coder_version is None else coder_version
    return [
        make_entry(
            report,
            address=address,
            user_agent=user_agent,
            now=now,
            secret=secret,
            coder_version=coder_version,
        )
        for report in reports
    ]
