"""Handles a request with reports: checks the sender, parses the body, and waits for the commit."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any

from django.utils import timezone

from csp import metrics
from csp.access import keys
from csp.counting import rejections
from csp.models import IngestKey
from csp.parsing.formats import parse
from csp.parsing.tolerant_json import load
from csp.scrubbing.masking import MAX_CACHED
from csp.scrubbing.reports import Scrubbed, scrubbed
from csp.scrubbing.versions import checked_version
from csp.writing import writer
from csp.writing.entries import Entry, entries_of, sender_of
from csp.writing.terms import Terms, find_terms, sites_for
from kernel.http import wire
from kernel.http.body import Read
from kernel.http.errors import APIError, Validation, invalid
from kernel.http.headers import WIRE_FORMAT
from kernel.http.responses import JSON_CONTENT_TYPE, Answer, length_of, lines_of
from kernel.http.results import Ask, Results
from kernel.http.steps.hosts import client_of
from kernel.http.steps.rate_limit import bucket_of, count_request, limit_of
from kernel.http.views.handlers import to_api_error
from kernel.text.humanize import plural

MAX_SINGLE = 64 * 1024
# For the rate limit, a body counts as at least one report for each COUNTED_BYTES bytes. Most
# reports are smaller.
COUNTED_BYTES = 2048
# The violations of a body, the types of its other reports, and the number of invalid items.
type Contents = tuple[Sequence[Scrubbed], Sequence[str], int]
# JSON values that only the coderd wire format accepts. It ignores them.
EMPTY: tuple[Any, ...] = (None, {})
OK = b'"ok"'
OK_LINES = lines_of([("Content-Type", JSON_CONTENT_TYPE), length_of(OK)])
NOT_STORED = lines_of([("Cache-Control", "no-store"), ("Vary", WIRE_FORMAT)])
# Larger bodies are prepared in a thread, because scrubbing them may take more than a millisecond.
MAX_BYTES_IN_LOOP = 512
# The contents of the last bodies, because the browsers of all visitors of a page send the same
# bytes. They do not depend on the sender or the time.
_parsed: OrderedDict[bytes, Contents] = OrderedDict()
PARSED_BODIES = 512


async def collect_reports(results: Results, read: Read) -> Answer:
    """Collects the reports of a request, and returns the response."""
    now = timezone.now()
    try:
        await collect(results, read, now=now)
        answer = Answer(200, OK_LINES, OK)
    except Exception as error:
        rejected = to_api_error(error)
        if rejected is None:
            raise
        rejections.note(results, rejected, now=now)
        answer = rejected.answer()
    answer.lines += NOT_STORED
    return answer


async def collect(results: Results, read: Read, *, now: datetime) -> None:
    """Checks the sender, reads the body, and waits until all reports in it are committed.

    Raises: APIError 401, 403 or 410 if the sender may not report; the errors of `read` and
    `entries_in`; 503, 504 or LimitReachedError if the reports cannot be written.
    """
    key = await keys.checked_key(results)
    body = await read()
    terms = await find_terms(now.date())
    prepare = partial(entries_in, results, key, body, terms, now=now)
    is_quick = len(body) <= MAX_BYTES_IN_LOOP or body in _parsed
    entries, others, invalid_items = prepare() if is_quick else await Ask(prepare)
    if entries:
        await writer.write(entries)
    # Not earlier, because after an error the browser sends all reports of the request again.
    _count(entries, others, invalid_items)


def entries_in(
    results: Results, key: IngestKey | None, body: bytes, terms: Terms, *, now: datetime
) -> tuple[list[Entry], Sequence[str], int]:
    """Returns an entry for each violation in the body. `key` is the ingest key of the request.

    Also returns the types of the other reports, and the number of invalid items. A body without a
    report returns nothing.

    Raises: APIError 400 or 413 for an invalid body, 429 for too many reports.
    """
    reports, others, invalid_items = parsed_body(body)
    if not reports and not others:
        if invalid_items:
            _accept_nothing(results)
        return [], (), 0
    # All reports of a request are accepted or rejected together, because a browser that receives a
    # 429 response sends the whole request again. The request itself was counted as one earlier.
    number = max(len(reports) + len(others), math.ceil(len(body) / COUNTED_BYTES))
    if number > 1:
        count_request(results.call, results, amount=number - 1, noun="reports")
    call, identity, client = results.call, results.caller.identity, client_of(results.address)
    sender = sender_of(
        version=version_in(call.parameters),
        address=results.address,
        user_agent=call.headers.get("user-agent", ""),
        # A user, a client, or an ingest key with a client.
        caller=f"key:{key.value}:{client}" if key else bucket_of(identity, results.address),
        share=limit_of(client, 1) if key or identity is None else 1,
        key=terms.client_key,
        now=now,
    )
    sites = sites_for(terms.sites, key, call.headers.get("origin", ""))
    return entries_of(reports, sender, sites=sites, rules=terms.rules), others, invalid_items


def _count(entries: Sequence[Entry], others: Sequence[str], invalid_items: int) -> None:
    if not entries and not others:
        metrics.RECEIVED_REPORTS.labels("empty").inc()
    if invalid_items:
        metrics.RECEIVED_REPORTS.labels("invalid").inc(invalid_items)
    if others:
        metrics.RECEIVED_REPORTS.labels("other").inc(len(others))
    for each in others:
        metrics.OTHER_REPORTS.labels(each).inc()


def version_in(parameters: Mapping[str, str]) -> str:
    """Returns the version of the page in the URL, or "". Raises: APIError 400."""
    try:
        found = parameters.get(keys.VERSION, "")
        return checked_version(found) if found else ""
    except ValueError as error:
        validation = Validation(keys.VERSION, str(error))
        raise invalid(validation, message="The version in the URL is not valid.") from None


def parsed_body(body: bytes) -> Contents:
    """Returns the contents of a request body. One of EMPTY counts as an invalid item.

    The sample request of Coder's API reference has no body, so no body is valid and has no report.

    Raises: APIError 400 for an invalid body, 413 for a body that is too large.
    """
    if found := _parsed.get(body):
        return found
    if not body:
        return (), (), 0
    value = load(body)
    if value in EMPTY:
        return (), (), 1
    if len(body) > MAX_SINGLE and not isinstance(value, list):
        raise APIError(
            413,
            "The report is too large.",
            detail=f"The body has {plural(len(body), 'byte')}. The limit for one report is "
            f"{MAX_SINGLE}.",
        )
    parsed = parse(value)
    found = tuple(map(scrubbed, parsed.violations)), tuple(parsed.others), parsed.invalid
    if len(body) <= MAX_CACHED:
        _parsed[body] = found
        if len(_parsed) > PARSED_BODIES:
            _parsed.popitem(last=False)
    return found


def _accept_nothing(results: Results) -> None:
    """Accepts one of EMPTY in the coderd wire format.

    Raises: APIError 400 in the documented wire format.
    """
    refusal = invalid(Validation("csp-report", "must be an object"))
    with wire.using(results.wire_format):
        if wire.apply("report-csp-violations/nothing", refusal) is not None:
            raise refusal
