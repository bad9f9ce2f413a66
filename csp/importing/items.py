"""Parses the lines of an import into rows, each with its time and its version."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from operator import itemgetter
from typing import Any, NamedTuple

import orjson

from csp.counting import other_reports
from csp.noise.rules import Rules
from csp.parsing.formats import MAX_REPORTS, Violation, parse
from csp.parsing.other_types import OtherReport
from csp.parsing.tolerant_json import load
from csp.scrubbing.versions import checked_version
from csp.writing.entries import Sender, entries_of, prepare
from csp.writing.grouping import Sites
from csp.writing.versions import Sighting, sighting_of
from kernel.http.errors import APIError
from kernel.text.values import parse_time

# Browsers sent no CSP reports before this time. An earlier time comes from a clock that was not
# set.
EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
MAX_SHOWN = 60


class Terms(NamedTuple):
    """The values that parsing depends on besides the line itself. `secret` is for hashes."""

    now: datetime
    retention: timedelta
    sites: Sites
    rules: Rules
    secret: str


@dataclass(slots=True)
class Contents:
    """The parsed contents of lines. `others` counts the reports of other types.

    `rows` has the JSON of each report, and `sightings` their versions, with the times when they
    arrived. Each entry of `refused` has the index of a line, the rejected item of its array or the
    whole line, and the reason.
    """

    rows: list[bytes] = field(default_factory=list)
    sightings: set[Sighting] = field(default_factory=set)
    others: other_reports.Tallies = field(default_factory=dict)
    refused: list[tuple[int, bytes, str]] = field(default_factory=list)

    def refuse(self, item: Item, error: Exception) -> None:
        text = orjson.dumps(item.value) if item.is_array else item.text
        self.refused.append((item.line, text, _why(error, is_item=item.is_array)))


class Item(NamedTuple):
    """A line, its value, or an item of its array. `line` is the index of the line."""

    line: int
    text: bytes
    value: Any = None
    is_array: bool = False


def parse_lines(texts: Sequence[bytes], terms: Terms) -> Contents:
    """Parses lines. Never raises an exception, so that no line can stop an import.

    First reads all lines, and then scrubs all reports. Doing both for one report after another
    takes 1.2 times as long.
    """
    found = Contents()
    items: list[Item] = []
    read: list[tuple[Item, Violation, Sender]] = []
    for line, text in enumerate(texts):
        try:
            items += _items(line, text)
        except Exception as error:  # noqa: BLE001 - a bug in one line must not stop the import
            found.refuse(Item(line, text), error)
    for item in items:
        try:
            parsed = parse([item.value] if item.is_array else item.value)
            _count_others(found, parsed.others, item, terms)
            read += [(item, each, _sender(item, terms)) for each in parsed.violations]
        except Exception as error:  # noqa: BLE001 - as above
            found.refuse(item, error)
    for item, report, sender in read:
        try:
            [entry] = entries_of(
                [prepare(report)],
                sender,
                sites=terms.sites,
                rules=terms.rules,
                secret=terms.secret,
            )
            found.rows.append(orjson.dumps(entry.row))
            found.sightings.add(sighting_of(entry.row))
        except Exception as error:  # noqa: BLE001 - as above
            found.refuse(item, error)
    found.refused.sort(key=itemgetter(0))
    return found


def _items(line: int, text: bytes) -> list[Item]:
    value = load(text)
    if not isinstance(value, list):
        return [Item(line, text, value)]
    if not 1 <= len(value) <= MAX_REPORTS:
        raise ValueError(
            f"An array must have 1 to {MAX_REPORTS} reports, but this array has {len(value)}."
        )
    return [Item(line, text, item, is_array=True) for item in value]


def _count_others(found: Contents, others: Sequence[OtherReport], item: Item, terms: Terms) -> None:
    if others:
        prepared, sender = map(other_reports.prepare, others), _sender(item, terms)
        fixed: Any = {"key": "", "sites": terms.sites, "secret": terms.secret}
        other_reports.merge(found.others, other_reports.tallied(prepared, sender, **fixed))


def _sender(item: Item, terms: Terms) -> Sender:
    moment = received_at(item.value, now=terms.now, retention=terms.retention)
    return Sender(
        received_at=moment,
        # Imported reports have no IP address. All reports of a day count as one client.
        client=moment.date().isoformat().encode(),
        version=version_of(item.value),
    )


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
        if moment > now:
            raise ValueError("must be in the past")
        if moment < EARLIEST:
            raise ValueError(f"must not be before {EARLIEST.year}")
        if retention and now - moment > retention:
            raise ValueError(
                "is older than CODERAPI_CSP_RETENTION, so the report would be deleted soon"
            )
    except ValueError as error:
        raise ValueError(f"received_at: {_quoted(value)} {error}.") from None
    return moment


def version_of(envelope: Mapping[str, Any]) -> str:
    """Returns the version of the page, or "" if the line does not contain it.

    Raises: ValueError for an invalid version.
    """
    value = envelope.get("version", "")
    try:
        return checked_version(value if isinstance(value, str) else "") if value != "" else ""
    except ValueError as error:
        raise ValueError(f"version: {_quoted(value)} {error}.") from None


def _quoted(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}…"


def _why(error: Exception, *, is_item: bool) -> str:
    if isinstance(error, ValueError):
        return str(error)
    if not isinstance(error, APIError):
        return f"Parsing failed ({type(error).__name__})."
    if is_item:
        return "The item is not a report."
    details = [error.detail, *(f"{v.field} {v.detail}".strip() for v in error.validations)]
    return " ".join([error.message, *filter(None, details)])
