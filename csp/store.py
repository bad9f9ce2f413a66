"""The one transaction that writes a batch of reports, settled also when its answer is lost."""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import count
from typing import Any

import django.db
import psycopg

from coderapi.database import connect_directly, is_unavailable
from csp import batches, metrics, statements
from csp.batches import HourKey, Judged
from csp.entries import Entry
from csp.noise import Rule, Rules, compiled
from csp.reach import Reach
from csp.tables import REPORTS

SETTLE_SECONDS = 5.0
RETRY_SECONDS = 0.1
MOST_TRIES = 3


@dataclass(frozen=True, slots=True)
class BatchId:
    """What a batch is known by when its transaction is tried again."""

    id: uuid.UUID
    imported: bool = False


class Store:
    """Writes batches on a connection of its own. Used by one thread."""

    def __init__(self) -> None:
        self._connection: psycopg.Connection[Any] | None = None
        self._committing = False
        self._days: set[datetime] = set()
        self._rules = Rules()
        self._rules_version: tuple[Any, ...] | None = None
        self._reach = Reach()

    def commit(self, entries: Sequence[Entry]) -> None:
        """Writes all entries in one transaction. Raises: as `commit_once`."""
        self.commit_once(BatchId(uuid.uuid4()), entries)

    def commit_once(self, batch_id: BatchId, entries: Sequence[Entry]) -> bool:
        """Writes all entries in one transaction; whether this call did, and no earlier one.

        A batch has an id, which its transaction writes first. When the connection breaks, the same
        batch is tried again: if it had been committed after all, its id is found, and nothing is
        counted twice. Raises: what `is_unavailable` knows, when the database stays away.
        """
        give_up = time.monotonic() + SETTLE_SECONDS
        self._committing = False
        for tries in count(1):
            try:
                return self._try(batch_id, entries) or self._committing
            except Exception as error:
                connected = self._connection is not None
                self.close()
                if self._is_final(error, connected=connected, tries=tries):
                    raise
                if time.monotonic() > give_up:
                    raise
                time.sleep(RETRY_SECONDS)
        raise AssertionError("count() has no end")

    def _is_final(self, error: Exception, *, connected: bool, tries: int) -> bool:
        """Whether another try is of no use: no database, or it is not about the connection.

        Once COMMIT has been sent, only the database can say what became of the batch.
        """
        if isinstance(error, psycopg.errors.CheckViolation | psycopg.errors.DeadlockDetected):
            # A partition was dropped under us, or two processes met: both go well the next time.
            return tries > MOST_TRIES
        return not is_unavailable(error) or not (connected or self._committing)

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = None
        self._days.clear()
        self._reach.forget()
        self._rules_version = None
        django.db.connection.close()

    def _try(self, batch_id: BatchId, entries: Sequence[Entry]) -> bool:
        if self._connection is None:
            self._connection = connect_directly(
                application_name="coderapi csp writer", tcp_user_timeout=5000
            )
        self._ensure_partitions(entries)
        with self._connection.cursor() as cursor:
            cursor.execute(statements.BEGIN)
            batch = batches.judge(entries, self._current_rules(cursor))
            written = self._write(cursor, batch_id, batch)
            self._committing = self._committing or written
            cursor.execute("COMMIT")
        self._reach.remember(batch)
        if self._committing:
            _count(batch)
        return written

    def _ensure_partitions(self, entries: Sequence[Entry]) -> None:
        for moment in {entry.received_at for entry in entries}:
            day = moment.replace(hour=0, minute=0, second=0, microsecond=0)
            if day not in self._days:
                REPORTS.ensure(day, day)
                # The writer keeps none of the pool's connections.
                django.db.connection.close()
                self._days.add(day)

    def _current_rules(self, cursor: psycopg.Cursor[Any]) -> Rules:
        """The enabled rules, read again whenever one has changed."""
        cursor.execute(statements.RULES_VERSION)
        version = cursor.fetchone()
        if version != self._rules_version:
            cursor.execute(statements.ENABLED_RULES)
            self._rules = compiled(Rule(*row) for row in cursor.fetchall())
            self._rules_version = version
        return self._rules

    def _write(
        self, cursor: psycopg.Cursor[Any], batch_id: BatchId, batch: Sequence[Judged]
    ) -> bool:
        """Whether anything was written: nothing is when the batch had been committed before."""
        cursor.execute(statements.BATCH, [batch_id.id, batch_id.imported])
        if cursor.rowcount == 0:
            return False
        cursor.execute(statements.GROUPS, statements.group_columns(batches.group_sums(batch)))
        reached = {row[0]: row[1:] for row in cursor.fetchall()}
        self._reach.write(cursor, batch, reached)
        _write_hits(cursor, batch)
        _write_rows(cursor, batches.kept(batch, _write_hours(cursor, batch)))
        return True


def _write_hours(cursor: psycopg.Cursor[Any], batch: Sequence[Judged]) -> dict[HourKey, int]:
    cursor.execute(statements.HOURS, statements.hour_columns(batches.hour_sums(batch)))
    return {(group, hour, rule): count for group, hour, rule, count in cursor.fetchall()}


def _write_hits(cursor: psycopg.Cursor[Any], batch: Sequence[Judged]) -> None:
    hits = batches.hit_sums(batch)
    if hits:
        cursor.execute(statements.HITS, statements.hit_columns(hits))


def _write_rows(cursor: psycopg.Cursor[Any], rows: Sequence[Judged]) -> None:
    with cursor.copy(statements.COPY_REPORTS) as copy:
        for row in rows:
            copy.write_row(statements.report_row(row))


def _count(batch: Sequence[Judged]) -> None:
    for judged in batch:
        if judged.rule:
            metrics.NOISE.labels(judged.rule.name).inc()
            metrics.REPORTS.labels("noise").inc()
        else:
            metrics.REPORTS.labels("stored").inc()
