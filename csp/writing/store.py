"""Writes a batch of reports in one transaction.

If the connection is lost during the commit, finds out whether the batch was committed.
"""

from __future__ import annotations

import select
import time
import uuid
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from datetime import UTC, date, datetime
from itertools import count
from typing import Any

import django.db
import orjson
import psycopg
from django.utils import timezone

from csp import metrics
from csp.models import REPORTS, window_start
from csp.writing.batch import WRITE
from csp.writing.disk import DiskLimit
from csp.writing.entries import Entry
from csp.writing.group_limit import GroupLimit, Limits
from csp.writing.versions import Versions
from kernel.db.connections import (
    CommitUnknownError,
    LimitedConnection,
    connect_directly,
    is_conflict,
    is_lost,
    is_unavailable,
)

SETTLE_SECONDS = 5.0
RETRY_SECONDS = 0.1
MAX_TRIES = 3
LOCK_SECONDS = 5
WRITE_SECONDS = 10.0


class Writing(LimitedConnection):
    """The connection of a writer. A batch may wait for locks and for a synchronous standby."""

    seconds = WRITE_SECONDS


class Store:
    """Writes batches with its own database connection. Only one thread may use an instance."""

    def __init__(
        self,
        connect: Callable[[], psycopg.Connection[Any]] | None = None,
        *,
        limits: Limits | None = None,
    ) -> None:
        self._connect = connect or _connect
        self._connection: psycopg.Connection[Any] | None = None
        self._sent = False
        self._days: set[date] = set()
        self._groups = GroupLimit(limits)
        self._versions = Versions()
        self._disk = DiskLimit()

    def commit(self, entries: Sequence[Entry], *, mark: uuid.UUID | None = None) -> bool:
        """Writes all entries in one transaction. `mark` is the id of a batch of an import.

        Returns False if an earlier call has already written a batch with the same mark.

        The transaction first inserts the id of the batch. If the connection is lost, the same batch
        is written again. If the first attempt was committed, the id exists already, so no report is
        counted twice.

        Raises: the database error if the database stays unavailable; CommitUnknownError if the
        batch may have been committed.
        """
        batch_id, give_up = mark or uuid.uuid4(), float("inf")
        self._sent = lost = False
        for tries in count(1):
            try:
                return self._try(batch_id, entries, is_imported=mark is not None)
            except Exception as error:
                connected = self._connection is not None
                self.close()
                lost |= self._sent and is_lost(error)
                # Whether another attempt may help.
                may_help = tries < MAX_TRIES if _is_transient(error) else is_unavailable(error)
                if not may_help or not (connected or lost or _is_transient(error)):
                    raise
                # The time limit starts at the first error, because the first attempt may take long.
                give_up = min(give_up, time.monotonic() + SETTLE_SECONDS)
                if time.monotonic() >= give_up:
                    if lost:
                        raise CommitUnknownError("the outcome of a commit is unknown") from error
                    raise
                time.sleep(RETRY_SECONDS)
        raise AssertionError("count() has no end")

    def connected(self) -> psycopg.Connection[Any]:
        """Returns the connection. Opens a new connection if the server has closed the old one."""
        if self._connection is not None and _has_ended(self._connection):
            self.close()
        if self._connection is None:
            self._connection = self._connect()
        return self._connection

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = None
        self._days.clear()
        self._groups.forget()
        self._versions.forget()
        self._disk.forget()
        django.db.connection.close()

    def _try(self, batch_id: uuid.UUID, entries: Sequence[Entry], *, is_imported: bool) -> bool:
        """Writes the batch once. Returns whether the current call of `commit` has written it.

        Also returns True if an earlier attempt has committed the batch, but its result was lost.
        """
        connection = self.connected()
        entries = self._groups.apply(connection, entries)
        self._versions.store(connection, entries)
        times = [entry.row["received_at"] for entry in entries]
        self._ensure_partitions(times)
        room = self._disk.room(connection)
        now = timezone.now() if is_imported else max(times)
        rows = orjson.dumps([entry.row for entry in entries]).decode()
        had_been_sent, self._sent = self._sent, True
        values = [batch_id, is_imported, rows, room.reports, window_start(now).date(), room.pages]
        row = psycopg.RawCursor(connection).execute(WRITE, values).fetchone()
        written = had_been_sent or bool(row and row[0])
        if written and not is_imported:
            _count(entries)
            self._groups.remember(entries)
        return written

    def _ensure_partitions(self, times: Collection[datetime]) -> None:
        for day in {moment.date() for moment in times} - self._days:
            first = datetime(day.year, day.month, day.day, tzinfo=UTC)
            REPORTS.ensure(first, first)
            # Return Django's connection to the pool. This thread no longer needs it.
            django.db.connection.close()
            self._days.add(day)
            # Pruning may have deleted groups since this thread last saw a new day.
            self._groups.forget()


def _connect() -> psycopg.Connection[Any]:
    """Opens a connection, and limits the time that its batches wait for locks.

    On a direct connection, PostgreSQL also keeps the plan of the statement. A pooler such as
    PgBouncer may run the next batch on another connection, so neither setting is used with it.
    With a pooler, the process id of the connection differs from that of PostgreSQL.
    """
    connection = connect_directly(Writing, application_name="coderapi csp writer")
    row = connection.execute("SELECT pg_backend_pid()").fetchone()
    if row and row[0] == connection.info.backend_pid:
        connection.prepare_threshold = 0
        connection.execute(f"SET lock_timeout = '{LOCK_SECONDS}s'")
    return connection


def _has_ended(connection: psycopg.Connection[Any]) -> bool:
    """Returns whether the server has closed the connection, or is about to close it."""
    poll = select.poll()
    poll.register(connection, select.POLLIN)
    return bool(poll.poll(0))


def _is_transient(error: Exception) -> bool:
    """Returns whether the error is a conflict, or means that a row's partition was dropped.

    If a partition does not exist, PostgreSQL raises a check violation without a constraint name.
    """
    if isinstance(error, psycopg.errors.CheckViolation):
        return error.diag.constraint_name is None
    return is_conflict(error)


def _count(entries: Sequence[Entry]) -> None:
    """Counts the reports by outcome."""
    noise = Counter(entry.rule.name for entry in entries if entry.rule)
    for name, hits in noise.items():
        metrics.NOISE_REPORTS.labels(name).inc(hits)
    metrics.RECEIVED_REPORTS.labels("noise").inc(noise.total())
    metrics.RECEIVED_REPORTS.labels("stored").inc(len(entries) - noise.total())
