"""Commits the reports of a file, and passes over what earlier runs have committed of it.

Each batch leaves a mark: a digest of the file up to its end, which is written in the transaction
of its reports. So the next run sees at each line if the file was committed up to there, wherever
earlier runs ended. This holds only as long as a batch begins where an earlier one ended and is no
longer than one could have been then: the two limits below may be raised, never lowered.
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
# A run that was killed may leave a batch behind that is still being written.
LOCK_SECONDS = 5
# Classes of SQLSTATE that blame the rows: data, constraints, limits.
BAD_ROWS = frozenset({"22", "23", "54"})


class Line(NamedTuple):
    """A line, and the mark of the file up to and with it."""

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
    """Takes in every good report, and passes over what an earlier run has committed.

    Calls `set_aside` for bad lines and items before their batch is committed, and
    `advance(number of lines)` after it. Raises: LinesError while another import runs, and what
    `Store.commit` raises.
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
    """Opens a connection that keeps other imports out: two could count the same lines twice."""
    connection = connect_directly(application_name="coderapi csp import")
    try:
        connection.execute(f"SET lock_timeout = '{LOCK_SECONDS}s'")
        connection.execute("SELECT pg_advisory_lock(%s)", [LOCK])
        connection.execute("RESET lock_timeout")
    except psycopg.errors.LockNotAvailable:
        connection.close()
        raise LinesError("Another import is running; try again when it has ended.") from None
    return connection


def _marked(records: Iterable[Record]) -> Iterator[Line]:
    """Marks each line. White space around lines, and so the end of the last one, does not count."""
    digest = hashlib.sha256(b"coderapi csp import\n")
    for record in records:
        # Of a line that is too long, only its beginning and its size are known.
        size = f"{record.size}" if record.error else ""
        digest.update(record.text.strip() + size.encode() + b"\n")
        yield Line(record, uuid.UUID(bytes=digest.digest()[:16]))


@dataclass(slots=True)
class Import:
    """One run. It counts lines, and of these the known ones; of the others, their good items."""

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
        # One for each thousand lines or so that any import has taken in.
        rows = self._store.connected().execute("SELECT id FROM csp_batch WHERE imported")
        self._committed = {row[0] for row in rows}

    def __str__(self) -> str:
        return (
            f"{self.lines} lines, of which {self.known} had been taken in before: {self.reports} "
            f"reports taken in, {self.other} of other types."
        )

    def add(self, line: Line) -> None:
        is_known = line.mark in self._committed
        # A last line without an end may still be being written. It is a batch of its own, so that
        # the lines before it are known again when it reads otherwise.
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
        """Sets bad lines aside and writes the others, in this order: none is lost."""
        if not self._batch:
            return
        now = timezone.now()
        held = [self._entries(line.record, now=now) for line in self._batch]
        try:
            is_new = self._write(self._batch[-1], [entry for entries in held for entry in entries])
        except (psycopg.Error, TypeError, ValueError) as error:
            _raise_if_not_of_rows(error)
            is_new = self._write_each(held)
        self._end_batch(known=0 if is_new else len(self._batch))

    def _entries(self, record: Record, *, now: datetime) -> list[Entry]:
        """Returns the line's good reports, and sets its bad ones aside."""
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

    def _write_each(self, held: Sequence[Sequence[Entry]]) -> bool:
        """Writes a batch line by line, without the lines that the database refuses."""
        for line, entries in zip(self._batch, held, strict=True):
            try:
                self._write(line, entries)
            except (psycopg.Error, TypeError, ValueError) as error:
                _raise_if_not_of_rows(error)
                self._set_aside(line.record, "The database does not take it.")
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
