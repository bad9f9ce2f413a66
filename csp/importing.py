"""Imports files of reports. Each line is a request body as a browser sends it.

Each batch of lines has a mark: a digest of the file from its beginning to the end of the batch. The
mark is committed in the same transaction as the reports of the batch. The next import of the file
computes the digest at each line. If the digest equals a stored mark, all lines up to this line were
committed earlier, and the import skips them.

An import can only skip an earlier batch if the whole batch fits the limits BATCH_LINES and
BATCH_BYTES. So these limits may be raised, but never lowered.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, NamedTuple

import orjson
import psycopg
from django.conf import settings
from django.utils import timezone

from csp.parsing.formats import MAX_REPORTS, parse
from csp.parsing.tolerant_json import load
from csp.scrubbing.reports import scrubbed
from csp.scrubbing.versions import checked_version
from csp.writing.entries import Entry, Sender, entries_of
from csp.writing.store import Store
from csp.writing.terms import Terms, terms_of
from kernel.commands.line_imports import LinesError, Record
from kernel.db.connections import connect_directly, lock_number
from kernel.http.errors import APIError
from kernel.text.humanize import plural
from kernel.text.values import parse_time

BATCH_LINES = 1_000
BATCH_BYTES = 4 * 1024 * 1024
LOCK = lock_number("csp import")
# An import waits for each lock for this time. If the previous import was killed, PostgreSQL may
# still be writing the last batch of that import, and releases the lock only afterwards.
LOCK_SECONDS = 5
# The errors that are caused by a row: invalid data, violated constraints, and values that are too
# long. A row is never nested too deeply for PostgreSQL, because parsing rejects such a line.
BAD_ROWS = (psycopg.DataError, psycopg.IntegrityError, psycopg.errors.ProgramLimitExceeded)
# Browsers sent no CSP reports before this time. An earlier time comes from a clock that was not
# set.
EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
MAX_SHOWN = 60


def import_reports(
    records: Iterable[Record],
    *,
    advance: Callable[[int], Any],
    set_aside: Callable[[Record, str], Any],
    lock_seconds: float = LOCK_SECONDS,
) -> Import:
    """Imports every valid report, and skips lines that an earlier import has committed.

    Before a batch is committed, calls `set_aside` with each rejected line or item and the reason.
    After the commit, calls `advance` with the number of lines in the batch.

    Raises: LinesError if another import is running, and the errors of `Store.commit`.
    """
    now = timezone.now()
    with closing(Store(partial(_connect_alone, lock_seconds))) as store:
        run = Import(store, terms_of(now.date()), now, advance, set_aside)
        # All marks fit into memory, because there is only about one mark per 1,000 lines.
        rows = store.connected().execute("SELECT id FROM csp_committedbatch WHERE is_imported")
        for lines, is_known in _batches(_marked(records), known={row[0] for row in rows}):
            if is_known:
                run.end(len(lines), known=len(lines))
            else:
                run.commit(lines)
    return run


def _connect_alone(lock_seconds: float) -> psycopg.Connection[Any]:
    """Opens a database connection, and acquires a lock that only one import can hold.

    Without the lock, two imports of the same file could count each line twice.
    """
    connection = connect_directly(application_name="coderapi csp import")
    try:
        connection.execute(f"SET lock_timeout = '{lock_seconds}s'")
        connection.execute("SELECT pg_advisory_lock(%s)", [LOCK])
    except psycopg.errors.LockNotAvailable:
        connection.close()
        raise LinesError("Another import is running. Try again when it has ended.") from None
    return connection


# --- Lines and their marks ------------------------------------------------------------------------


class Line(NamedTuple):
    """A line of the file, and the digest of the file up to the end of this line."""

    record: Record
    mark: uuid.UUID


def _marked(records: Iterable[Record]) -> Iterator[Line]:
    """Yields each line with its mark.

    White space at both ends of a line does not change the mark.
    """
    digest = hashlib.sha256(b"coderapi csp import\n")
    for record in records:
        # If a line is too long, `record.text` is only the beginning of the line. So the digest also
        # includes the size of the line.
        size = f"{record.size}" if record.error else ""
        digest.update(record.text.strip() + size.encode() + b"\n")
        yield Line(record, uuid.UUID(bytes=digest.digest()[:16]))


def _batches(
    lines: Iterable[Line], *, known: Collection[uuid.UUID]
) -> Iterator[tuple[list[Line], bool]]:
    """Yields batches of lines, each with whether an earlier import has committed it."""
    batch: list[Line] = []
    size = 0
    for line in lines:
        is_known = line.mark in known
        # If the last line does not end, another program may still be writing the line. It is a
        # separate batch. If the line then changes, the next import still recognizes the lines
        # before it.
        is_apart = not line.record.text.endswith(b"\n") and not is_known
        if is_apart and batch:
            yield batch, False
            batch, size = [], 0
        batch.append(line)
        size += line.record.size
        if is_known or is_apart or len(batch) >= BATCH_LINES or size >= BATCH_BYTES:
            yield batch, is_known
            batch, size = [], 0
    if batch:
        yield batch, False


@dataclass(slots=True)
class Import:
    """The state of one import.

    `known` is the number of lines that an earlier import has committed, `reports` the number of new
    reports, and `other` the number of new reports of other types, which are not stored.
    """

    _store: Store
    _terms: Terms
    _now: datetime
    _advance: Callable[[int], Any]
    _set_aside: Callable[[Record, str], Any]
    lines: int = 0
    known: int = 0
    reports: int = 0
    other: int = 0

    def __str__(self) -> str:
        return (
            f"{plural(self.lines, 'line')}, of which {self.known:,} had been imported before: "
            f"{plural(self.reports, 'report')} imported, {plural(self.other, 'report')} of other "
            "types skipped."
        )

    def commit(self, lines: Sequence[Line]) -> None:
        """Commits a batch. First sets rejected lines aside, so that no line is lost."""
        found = parse_lines([line.record for line in lines], self._terms, now=self._now)
        for record, why in found.refused:
            self._set_aside(record, why)
        try:
            is_new = self._write(lines[-1], found)
        except BAD_ROWS:
            self._write_each(lines)
            is_new = True
        self.end(len(lines), known=0 if is_new else len(lines))

    def _write(self, last: Line, found: Contents) -> bool:
        is_new = self._store.commit(found.entries, mark=last.mark)
        if is_new:
            self.reports += len(found.entries)
            self.other += found.others
        return is_new

    def _write_each(self, lines: Sequence[Line]) -> None:
        """Writes each line of the batch separately. Sets lines aside that the database rejects."""
        for line in lines:
            try:
                self._write(line, parse_lines([line.record], self._terms, now=self._now))
            except BAD_ROWS:
                self._set_aside(line.record, "The database rejects the line.")
                self._write(line, Contents())

    def end(self, number: int, *, known: int) -> None:
        self.lines += number
        self.known += known
        self._advance(number)


# --- The reports in a line ------------------------------------------------------------------------


@dataclass(slots=True)
class Contents:
    """The contents of lines. `others` is the number of reports of other types.

    `refused` has the rejected lines, and the rejected items of arrays, each with the reason.
    """

    entries: list[Entry] = field(default_factory=list)
    others: int = 0
    refused: list[tuple[Record, str]] = field(default_factory=list)

    def add(self, envelope: Any, value: Any, terms: Terms, *, now: datetime) -> None:
        """Adds a report. `value` is the body to parse, and `envelope` has the time and the version.

        Raises: ValueError, APIError.
        """
        parsed = parse(value)
        moment = received_at(envelope, now=now, retention=settings.CSP_RETENTION)
        sender = Sender(
            received_at=moment,
            # Imported reports have no IP address. All reports of a day count as one client.
            client=moment.date().isoformat().encode(),
            version=version_of(envelope),
        )
        reports = map(scrubbed, parsed.violations)
        self.entries += entries_of(reports, sender, sites=terms.sites, rules=terms.rules)
        self.others += len(parsed.others)


def parse_lines(records: Iterable[Record], terms: Terms, *, now: datetime) -> Contents:
    """Parses lines. Never raises an exception, so that no line can stop an import."""
    found = Contents()
    for record in records:
        try:
            value = _loaded(record)
        except Exception as error:  # noqa: BLE001 - a bug in one line must not stop the import
            found.refused.append((record, _why(error)))
            continue
        is_array = isinstance(value, list)
        for item in value if is_array else [value]:
            try:
                found.add(item, [item] if is_array else item, terms, now=now)
            except Exception as error:  # noqa: BLE001 - as above
                shown = record._replace(text=orjson.dumps(item)) if is_array else record
                found.refused.append((shown, _why(error, is_item=is_array)))
    return found


def _loaded(record: Record) -> Any:
    """Returns the value of a line. Raises: ValueError, APIError."""
    if record.error:
        raise ValueError(f"The line {record.error}.")
    value = load(record.text)
    if isinstance(value, list) and not 1 <= len(value) <= MAX_REPORTS:
        raise ValueError(
            f"An array must have 1 to {MAX_REPORTS} reports, but this array has {len(value)}."
        )
    return value


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


def _why(error: Exception, *, is_item: bool = False) -> str:
    if isinstance(error, ValueError):
        return str(error)
    if not isinstance(error, APIError):
        return f"Parsing failed ({type(error).__name__})."
    if is_item:
        return "The item is not a report."
    return " ".join([*error.reasons, *map(str, error.validations)])
