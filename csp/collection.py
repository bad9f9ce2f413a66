"""Takes in the reports of a request."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from csp import metrics
from csp.access import keys
from csp.parsing.formats import parse
from csp.parsing.tolerant_json import load
from csp.scrubbing.masking import remembered
from csp.writing import writer
from csp.writing.entries import Prepared, entries_of, prepare
from kernel.http import wire
from kernel.http.errors import APIError, Validation, invalid
from kernel.http.identity import IdentifiedRequest

ANSWER = b'"ok"'
MAX_SINGLE = 64 * 1024
OPERATION = "report-csp-violations"


@dataclass(frozen=True, slots=True)
class Held:
    """The reports in a body, and how many items are of other types or no report."""

    reports: tuple[Prepared, ...] = ()
    other: int = 0
    invalid: int = 0


def collect(request: IdentifiedRequest, *, now: datetime) -> bytes:
    """Returns the answer's body when every report in the request is committed.

    Raises: APIError 401, 403 or 410 (who reports), 400 or 413 (what), 503 (no database).
    """
    # From META: the mapping of all headers is not built for the sake of two.
    meta = request.META
    keys.check(
        request.GET.dict() if meta.get("QUERY_STRING") else {},
        origin=meta.get("HTTP_ORIGIN", ""),
        identity=request.identity,
        refusal=request.refusal,
    )
    held = held_by(request.body)
    if held is None:
        _accept_nothing()
        return ANSWER
    _count(held)
    if held.reports:
        agent, address = meta.get("HTTP_USER_AGENT", ""), request.client_address
        writer.write(entries_of(held.reports, address=address, user_agent=agent, now=now))
    return ANSWER


@remembered(512)
def held_by(body: bytes) -> Held | None:
    """Reads a body; None for an empty value.

    Remembered, as one page makes all its visitors' browsers send the same, word for word: 77 µs a
    report instead of 130. Who sent it, and when, is never part of the result.

    Raises: APIError 400, 413.
    """
    value = load(body)
    if value is None or value == {}:
        return None
    if len(body) > MAX_SINGLE and not isinstance(value, list):
        raise APIError(
            413,
            "The report is too large.",
            detail=f"It has {len(body)} bytes; the limit for a single report is {MAX_SINGLE}.",
        )
    parsed = parse(value)
    return Held(tuple(map(prepare, parsed.violations)), parsed.other, parsed.invalid)


def _accept_nothing() -> None:
    """Accepts a body without a report in the wire that does. Raises: APIError 400."""
    refusal = invalid(Validation("csp-report", "must be an object"))
    if wire.apply(f"{OPERATION}/nothing", refusal) is not None:
        raise refusal


def _count(held: Held) -> None:
    for verdict, number in (("other", held.other), ("invalid", held.invalid)):
        if number:
            metrics.REPORTS.labels(verdict).inc(number)
