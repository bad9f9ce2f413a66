"""Parses the lines of an import into rows, each with its time and its Coder version.

The processes of an import call `parse_lines`, so this module needs neither settings nor a database.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import orjson
import semver

from csp.noise.rules import Rules
from csp.parsing.formats import MAX_REPORTS, MAX_WORD, Parsed, parse
from csp.parsing.tolerant_json import load
from csp.writing.entries import Sender, entries_of, prepare
from kernel.http.errors import APIError
from kernel.texts import parse_time

# Browsers sent no CSP reports before this time. An earlier time comes from a clock that was not
# set.
EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
MAX_SHOWN = 60


class Terms(NamedTuple):
    """The values that parsing depends on besides the line itself. `secret` is for hashes."""

    now: datetime
    retention: timedelta
    rules: Rules
    secret: str


@dataclass(slots=True)
class Contents:
    """The parsed contents of lines. `other` is the number of reports of other types.

    `rows` has the JSON of each report, and `times` the times when they arrived. `refused` contains
    each rejected item of an array, or the whole line if the line is rejected, after the index of
    the line and before the reason.
    """

    rows: list[bytes] = field(default_factory=list)
    times: set[datetime] = field(default_factory=set)
    other: int = 0
    refused: list[tuple[int, bytes, str]] = field(default_factory=list)


def parse_lines(texts: Sequence[bytes], terms: Terms) -> Contents:
    """Parses lines. Never raises an exception, so that no line can stop an import."""
    found = Contents()
    for index, text in enumerate(texts):
        _add_line(found, index, text, terms)
    return found


def _add_line(found: Contents, index: int, text: bytes, terms: Terms) -> None:
    try:
        value = load(text)
        if isinstance(value, list) and not 1 <= len(value) <= MAX_REPORTS:
            raise ValueError(
                f"An array must have 1 to {MAX_REPORTS} reports, but this array has {len(value)}."
            )
    except Exception as error:  # noqa: BLE001 - a bug in one line must not stop the import
        found.refused.append((index, text, _why(error)))
        return
    is_array = isinstance(value, list)
    for item in value if is_array else [value]:
        try:
            _add(found, parse([item] if is_array else item), item, terms)
        except Exception as error:  # noqa: BLE001 - a bug in one item must not affect the others
            refused = orjson.dumps(item) if is_array else text
            found.refused.append((index, refused, _why(error, is_item=is_array)))


def _add(found: Contents, parsed: Parsed, beside: Mapping[str, Any], terms: Terms) -> None:
    """Adds the reports of one item. `beside` may contain `received_at` and `coder_version`."""
    found.other += parsed.other
    if not parsed.violations:
        return
    moment = received_at(beside, now=terms.now, retention=terms.retention)
    sender = Sender(
        received_at=moment,
        # Imported reports have no IP address. All reports of a day count as one client.
        client=moment.date().isoformat().encode(),
        coder_version=coder_version(beside),
    )
    reports = map(prepare, parsed.violations)
    entries = entries_of(reports, sender, rules=terms.rules, secret=terms.secret)
    found.rows += [orjson.dumps(entry.row) for entry in entries]
    found.times.add(moment)


def received_at(envelope: Mapping[str, Any], *, now: datetime, retention: timedelta) -> datetime:
    """Returns the time when the report arrived, in UTC. The default is `now`.

    With a retention of 0, reports never expire.
    Raises: ValueError for a time that is invalid, in the future, without a time zone, or expired.
    """
    if "received_at" not in envelope:
        return now
    value = envelope["received_at"]
    try:
        moment = parse_time(value)
    except ValueError as error:
        raise ValueError(f"received_at: {_quoted(value)} {error}.") from None
    fault = _fault(moment, now=now, retention=retention)
    if fault:
        raise ValueError(f"received_at: {_quoted(value)} {fault}.")
    return moment


def _fault(moment: datetime, *, now: datetime, retention: timedelta) -> str:
    if moment > now:
        return "must be in the past"
    if moment < EARLIEST:
        return f"must not be before {EARLIEST.year}"
    if retention and now - moment > retention:
        return "is older than CODERAPI_CSP_RETENTION, so the next pruning would delete the report"
    return ""


def coder_version(envelope: Mapping[str, Any]) -> str:
    """Returns the Coder version that served the page, or "" if the line does not contain it.

    Raises: ValueError for an invalid version.
    """
    value = envelope.get("coder_version", "")
    if value == "":
        return ""
    text = value.removeprefix("v") if isinstance(value, str) else ""
    if len(text) > MAX_WORD or not semver.Version.is_valid(text):
        raise ValueError(f"coder_version is {_quoted(value)}. It must be a version such as 2.29.0.")
    return text


def _quoted(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}…"


def _why(error: Exception, *, is_item: bool = False) -> str:
    if isinstance(error, ValueError):
        return str(error)
    if not isinstance(error, APIError):
        return f"Parsing failed ({type(error).__name__})."
    if is_item:
        return "The item is not a report."
    details = [error.detail, *(f"{v.field} {v.detail}".strip() for v in error.validations)]
    return " ".join([error.message, *filter(None, details)])
