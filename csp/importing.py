"""Taking in a file of reports: JSON lines, each a body as a browser sends it.

A batch is known by all of the file up to its end, and its id is written in the transaction that
writes its reports. So the next run sees at each line whether the file was committed up to there,
wherever earlier runs ended. This holds only as long as a batch begins where an earlier one ended
and is no longer than one could have been then: the two limits below may be raised, never lowered.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, BinaryIO

import psycopg
from django.conf import settings

from csp.entries import Entry
from csp.import_items import Contents, Refused, contents
from csp.import_lines import LONGEST_LINE, Line, lines
from csp.store import BatchId, Store
from kernel.db.connections import connect_directly, lock_number

BATCH_LINES = 1_000
BATCH_BYTES = 4 * 1024 * 1024
LOCK = lock_number("csp import")
# A run that was killed may leave a batch behind that is still being written.
LOCK_SECONDS = 5

type SetAside = Callable[[Line, Refused], Any]


class ImportRunningError(Exception):
    """Another import runs: two at once could count the same lines twice."""


@dataclass(slots=True)
class ImportCounts:
    """Lines that were read and of these known; of the others, items by what became of them."""

    lines: int = 0
    known: int = 0
    reports: int = 0
    other: int = 0
    invalid: int = 0

    def __str__(self) -> str:
        return (
            f"{self.lines} lines, of which {self.known} had been taken in before: {self.reports} "
            f"reports taken in, {self.other} of other types, {self.invalid} set aside."
        )


def import_reports(
    source: BinaryIO,
    *,
    clock: Callable[[], datetime],
    advance: Callable[[int], Any],
    set_aside: SetAside,
) -> ImportCounts:
    """Takes in every good report; what an earlier run has committed is passed over.

    `advance(bytes)` hears of lines that are committed or known, `set_aside` of what is bad in a
    batch before that is committed. Raises: ImportRunningError, and what `Store.commit_once` does.
    """
    store = Store(_connect_alone)
    run = _Run(store, clock=clock, advance=advance, set_aside=set_aside)
    try:
        for line in lines(source):
            run.add(line)
        run.commit()
    finally:
        run.close()
        store.close()
    return run.counts


def _connect_alone() -> psycopg.Connection[Any]:
    """A connection that keeps other imports out as long as it lives."""
    connection = connect_directly(application_name="coderapi csp import", tcp_user_timeout=5000)
    try:
        connection.execute(f"SET lock_timeout = '{LOCK_SECONDS}s'")
        connection.execute("SELECT pg_advisory_lock(%s)", [LOCK])
        connection.execute("RESET lock_timeout")
    except psycopg.errors.LockNotAvailable:
        connection.close()
        raise ImportRunningError(
            "Another import is running; try again when it has ended."
        ) from None
    return connection


def _committed(store: Store) -> set[uuid.UUID]:
    """The ids of all batches that imports have committed: one for each thousand lines or so."""
    rows = store.connected().execute("SELECT id FROM csp_batch WHERE imported")
    return {row[0] for row in rows}


class _Run:
    def __init__(
        self,
        store: Store,
        *,
        clock: Callable[[], datetime],
        advance: Callable[[int], Any],
        set_aside: SetAside,
    ) -> None:
        self.counts = ImportCounts()
        self._store, self._committed = store, _committed(store)
        self._clock, self._advance, self._set_aside = clock, advance, set_aside
        self._batch: list[Line] = []
        self._size = 0

    def add(self, line: Line) -> None:
        if line.beginning in self._committed:
            self._append(line)
            self._pass_over()
            return
        # A last line without an end may still be being written. It is a batch of its own, so that
        # those before it are known again when it reads otherwise.
        if not line.is_ended:
            self.commit()
        self._append(line)
        if not line.is_ended or self._is_full():
            self.commit()

    def close(self) -> None:
        """Lets go of lines that nothing has become of."""
        for line in self._batch:
            line.close()

    def _append(self, line: Line) -> None:
        self._batch.append(line)
        self._size += line.size

    def _is_full(self) -> bool:
        return len(self._batch) >= BATCH_LINES or self._size >= BATCH_BYTES

    def commit(self) -> None:
        """Writes what is waiting aside and into the database, in this order: none is lost."""
        if not self._batch:
            return
        entries = self._entries()
        batch_id = BatchId(self._batch[-1].beginning, imported=True)
        if self._store.commit_once(batch_id, entries):
            self.counts.reports += len(entries)
            self._end_batch()
        else:
            self._pass_over()

    def _pass_over(self) -> None:
        self.counts.known += len(self._batch)
        self._end_batch()

    def _end_batch(self) -> None:
        self.counts.lines += len(self._batch)
        self._advance(self._size)
        for line in self._batch:
            line.close()
        self._batch, self._size = [], 0

    def _entries(self) -> list[Entry]:
        entries: list[Entry] = []
        now = self._clock()
        for line in self._batch:
            found = _contents(line, now)
            entries += found.entries
            self.counts.other += found.other
            self.counts.invalid += len(found.refused)
            for refused in found.refused:
                self._set_aside(line, refused)
        return entries


def _contents(line: Line, now: datetime) -> Contents:
    if line.rest is not None:
        return Contents(refused=[Refused(None, f"The line is longer than {LONGEST_LINE} bytes.")])
    return contents(line.text, now=now, retention=settings.CSP_RETENTION)
