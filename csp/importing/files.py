"""Commits the reports of a file, and skips lines that earlier runs have committed.

Each batch leaves a mark: a digest of the file up to the end of the batch, in the transaction of its
reports. So the next run knows at each line whether the file was committed up to there. For
this, a batch begins where an earlier one ended, and earlier batches must fit the limits below. So
these may be raised, but never lowered.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

import psycopg
from django.conf import settings
from django.utils import timezone

from csp.importing.items import contents
from csp.writing.entries import Entry
from csp.writing.store import Store
from kernel.db.connections import connect_directly, lock_number
from kernel.lines import LinesError, Record

BATCH_LINES = 1_000
BATCH_BYTES = 4 * 1024 * 1024
LOCK = lock_number("csp import")
# The server may still be writing a batch of a run that was killed.
LOCK_SECONDS = 5
# Classes of SQLSTATE for errors in rows: data, constraints, limits.
BAD_ROWS = frozenset({"22", "23", "54"})


class Line(NamedTuple):
    """A line, and the mark of the file up to its end."""

    record: Record
    mark: uuid.UUID

    @property
    def is_ended(self) -> bool:
        return self.record.text.endswith(b"\n")


def import_reports(
    records: Iterable[Record],
    *,
    advance: Callable[[int], Any],
    set_aside: Callable[[Record, str], Any],
) -> Import:
    """Imports every valid report, and skips lines that an earlier run has committed.

    Calls `set_aside` for rejected lines and items before their batch is committed, and
    `advance(number of lines)` after it. Raises: LinesError while another import runs, and the
    errors of `Store.commit`.
    """
    store = Store(_connect_alone)
    try:
        run = Import(store, advance, set_aside)
        for line in _marked(records):
            run.add(line)
        run.commit()
    finally:
        store.close()
    return run


def _connect_alone() -> psycopg.Connection[Any]:
    """Opens a connection with a lock, because two imports could count the same lines twice."""
    connection = connect_directly(application_name="coderapi csp import")
    try:
        connection.execute(f"SET lock_timeout = '{LOCK_SECONDS}s'")
        connection.execute("SELECT pg_advisory_lock(%s)", [LOCK])
        connection.execute("RESET lock_timeout")
    except psycopg.errors.LockNotAvailable:
        connection.close()
        raise LinesError("Another import is running. Try again when it has ended.") from None
    return connection


def _marked(records: Iterable[Record]) -> Iterator[Line]:
    """Yields each line with its mark. White space around a line does not affect the mark."""
    digest = hashlib.sha256(b"coderapi csp import\n")
    for record in records:
        # Only the beginning and the size of a line that is too long are known.
        size = f"{record.size}" if record.error else ""
        digest.update(record.text.strip() + size.encode() + b"\n")
        yield Line(record, uuid.UUID(bytes=digest.digest()[:16]))


@dataclass(slots=True)
class Import:
    """One run, with the numbers of its lines, its known lines, and its new reports."""

    _store: Store
    _advance: Callable[[int], Any]
    _set_aside: Callable[[Record, str], Any]
    lines: int = 0
    known: int = 0
    reports: int = 0
    other: int = 0
    _committed: set[uuid.UUID] = field(init=False)
    _batch: list[Line] = field(default_factory=list)
    _size: int = 0

    def __post_init__(self) -> None:
        # There is about one mark per thousand imported lines.
        rows = self._store.connected().execute("SELECT id FROM csp_batch WHERE imported")
        self._committed = {row[0] for row in rows}

    def __str__(self) -> str:
        return (
            f"{self.lines} lines, of which {self.known} had been imported before: {self.reports} "
            f"reports imported, {self.other} of other types."
        )

    def add(self, line: Line) -> None:
        is_known = line.mark in self._committed
        # Another program may still be writing a last line without a line end. It is a batch of its
        # own, so that the lines before it stay known if it changes.
        if not line.is_ended and not is_known:
            self.commit()
        self._batch.append(line)
        self._size += line.record.size
        if is_known:
            self._end_batch(known=len(self._batch))
        elif not line.is_ended or self._is_full():
            self.commit()

    def _is_full(self) -> bool:
        return len(self._batch) >= BATCH_LINES or self._size >= BATCH_BYTES

    def commit(self) -> None:
        """Sets rejected lines aside, then writes the others, so that none is lost."""
        if not self._batch:
            return
        now = timezone.now()
        batch = [self._entries(line.record, now=now) for line in self._batch]
        try:
            is_new = self._write(self._batch[-1], [entry for entries in batch for entry in entries])
        except (psycopg.Error, TypeError, ValueError) as error:
            _raise_if_not_of_rows(error)
            is_new = self._write_each(batch)
        self._end_batch(known=0 if is_new else len(self._batch))

    def _entries(self, record: Record, *, now: datetime) -> list[Entry]:
        """Returns the valid reports of the line, and sets the others aside."""
        if record.error:
            self._set_aside(record, f"The line {record.error}.")
            return []
        found = contents(record.text, now=now, retention=settings.CSP_RETENTION)
        self.other += found.other
        for text, why in found.refused:
            self._set_aside(record._replace(text=text), why)
        return found.entries

    def _write(self, last: Line, entries: Sequence[Entry]) -> bool:
        is_new = self._store.commit(entries, batch_id=last.mark, imported=True)
        self.reports += len(entries) if is_new else 0
        return is_new

    def _write_each(self, batch: Sequence[Sequence[Entry]]) -> bool:
        """Writes a batch line by line, without the lines that the database rejects."""
        for line, entries in zip(self._batch, batch, strict=True):
            try:
                self._write(line, entries)
            except (psycopg.Error, TypeError, ValueError) as error:
                _raise_if_not_of_rows(error)
                self._set_aside(line.record, "The database rejects it.")
                self._write(line, [])
        return True

    def _end_batch(self, *, known: int) -> None:
        self.lines += len(self._batch)
        self.known += known
        self._advance(len(self._batch))
        self._batch, self._size = [], 0


def _raise_if_not_of_rows(error: Exception) -> None:
    if isinstance(error, psycopg.Error) and (error.sqlstate or "")[:2] not in BAD_ROWS:
        raise error
