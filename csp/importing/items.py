"""Parses the lines of an import into rows, each with its time and its Coder version.

The processes of an import call `parse_lines`, so this module needs neither settings nor a database.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from operator import itemgetter
from typing import Any, NamedTuple

import orjson
import semver

from csp.noise.rules import Rules
from csp.parsing.formats import MAX_REPORTS, MAX_WORD, Violation, parse
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


class Item(NamedTuple):
    """A line, its value, or an item of its array. `line` is the index of the line."""

    line: int
    text: bytes
    value: Any
    is_array: bool


def parse_lines(texts: Sequence[bytes], terms: Terms) -> Contents:
    """Parses lines. Never raises an exception, so that no line can stop an import.

    First reads all lines, and then scrubs all reports. Doing both for one report after another
    takes 1.2 times as long.
    """
    found = Contents()
    lines = [Item(line, text, None, is_array=False) for line, text in enumerate(texts)]
    items = [item for line in lines for item in _tried(found, line, _items, terms) or ()]
    read = [(item, _tried(found, item, _read, terms)) for item in items]
    for item, reports in read:
        if reports:
            _tried(found, item, _add, terms, *reports)
    found.refused.sort(key=itemgetter(0))
    return found


def _tried[T](
    found: Contents, item: Item, step: Callable[..., T], terms: Terms, *values: Any
) -> T | None:
    """Does one step of parsing. If it fails, refuses the item and returns None."""
    try:
        return step(found, item, terms, *values)
    except Exception as error:  # noqa: BLE001 - a bug in one item must not stop the import
        text = orjson.dumps(item.value) if item.is_array else item.text
        found.refused.append((item.line, text, _why(error, is_item=item.is_array)))
        return None


def _items(_found: Contents, line: Item, _terms: Terms) -> list[Item]:
    value = load(line.text)
    if not isinstance(value, list):
        return [Item(line.line, line.text, value, is_array=False)]
    if not 1 <= len(value) <= MAX_REPORTS:
        raise ValueError(
            f"An array must have 1 to {MAX_REPORTS} reports, but this array has {len(value)}."
        )
    return [Item(line.line, line.text, item, is_array=True) for item in value]


def _read(found: Contents, item: Item, terms: Terms) -> tuple[list[Violation], Sender] | None:
    """Returns the reports of the item and their sender, or None for a report of another type."""
    parsed = parse([item.value] if item.is_array else item.value)
    found.other += parsed.other
    if not parsed.violations:
        return None
    moment = received_at(item.value, now=terms.now, retention=terms.retention)
    sender = Sender(
        received_at=moment,
        # Imported reports have no IP address. All reports of a day count as one client.
        client=moment.date().isoformat().encode(),
        coder_version=coder_version(item.value),
    )
    return parsed.violations, sender


def _add(
    found: Contents, item: Item, terms: Terms, reports: list[Violation], sender: Sender
) -> None:
    prepared = map(prepare, reports)
    entries = entries_of(prepared, sender, rules=terms.rules, secret=terms.secret)
    found.rows += [orjson.dumps(entry.row) for entry in entries]
    found.times.add(sender.received_at)


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
