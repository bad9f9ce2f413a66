"""The one transaction that writes a batch of reports, settled also when its answer is lost."""

from __future__ import annotations

import time
import uuid
from collections import Counter
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


@dataclass(frozen=True, slots=True)
class Sums:
    """What PostgreSQL says of a batch's counts: each group's reach, and each hour's reports now."""

    is_new: bool
    rules_version: tuple[Any, ...] | None
    reached: dict[uuid.UUID, tuple[int, ...]]
    hours: dict[HourKey, int]


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
        batch = self._begin(self._connection, batch_id, entries)
        if batch is None:
            self._connection.execute("ROLLBACK")
        else:
            self._committing = True
            self._connection.execute("COMMIT")
            self._reach.remember(batch)
        if self._committing:
            _count(batch or batches.judge(entries, self._rules))
        return batch is not None

    def _begin(
        self, connection: psycopg.Connection[Any], batch_id: BatchId, entries: Sequence[Entry]
    ) -> list[Judged] | None:
        """The batch, all of it written and not yet committed; None if it had been before.

        It is judged by the rules as they are known here. Only with the first answer comes whether
        they still are the same; if not, everything is taken back and done again.
        """
        while True:
            if self._rules_version is None:
                self._read_rules(connection)
            batch = batches.judge(entries, self._rules)
            sums = _add_up(connection, batch_id, batch)
            if not sums.is_new:
                return None
            if sums.rules_version == self._rules_version:
                break
            connection.execute("ROLLBACK")
            self._rules_version = None
        with connection.cursor() as cursor:
            self._reach.write(cursor, batch, sums.reached)
            _write_rows(cursor, batches.kept(batch, sums.hours))
        return batch

    def _ensure_partitions(self, entries: Sequence[Entry]) -> None:
        for moment in {entry.received_at for entry in entries}:
            day = moment.replace(hour=0, minute=0, second=0, microsecond=0)
            if day not in self._days:
                REPORTS.ensure(day, day)
                # The writer keeps none of the pool's connections.
                django.db.connection.close()
                self._days.add(day)

    def _read_rules(self, connection: psycopg.Connection[Any]) -> None:
        # The version first: should a rule change in between, the next answer tells.
        version = connection.execute(statements.RULES_VERSION).fetchone()
        rows = connection.execute(statements.ENABLED_RULES).fetchall()
        self._rules, self._rules_version = compiled(Rule(*row) for row in rows), version


def _add_up(
    connection: psycopg.Connection[Any], batch_id: BatchId, batch: Sequence[Judged]
) -> Sums:
    """Begins the transaction and writes all counts of the batch, with one wait for PostgreSQL."""
    hits = batches.hit_sums(batch)
    with connection.pipeline():
        connection.execute("BEGIN")
        connection.execute(statements.HOLD_RULES)
        version = connection.execute(statements.RULES_VERSION)
        claimed = connection.execute(statements.BATCH, [batch_id.id, batch_id.imported])
        groups = connection.execute(
            statements.GROUPS, statements.group_columns(batches.group_sums(batch))
        )
        hours = connection.execute(
            statements.HOURS, statements.hour_columns(batches.hour_sums(batch))
        )
        if hits:
            connection.execute(statements.HITS, statements.hit_columns(hits))
    return Sums(
        is_new=claimed.rowcount > 0,
        rules_version=version.fetchone(),
        reached={row[0]: row[1:] for row in groups},
        hours={(group, hour, rule): count for group, hour, rule, count in hours},
    )


def _write_rows(cursor: psycopg.Cursor[Any], rows: Sequence[Judged]) -> None:
    if not rows:
        return
    with cursor.copy(statements.COPY_REPORTS) as copy:
        for row in rows:
            copy.write_row(statements.report_row(row))


def _count(batch: Sequence[Judged]) -> None:
    marked = Counter(judged.rule.name for judged in batch if judged.rule)
    for name, hits in marked.items():
        metrics.NOISE.labels(name).inc(hits)
    noise = marked.total()
    metrics.REPORTS.labels("noise").inc(noise)
    metrics.REPORTS.labels("stored").inc(len(batch) - noise)
