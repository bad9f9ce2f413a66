"""Writes a batch of reports in one transaction.

If the connection is lost during the commit, finds out whether the batch was committed.
"""

from __future__ import annotations

import logging
import select
import time
import uuid
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime
from itertools import count
from typing import Any

import django.db
import orjson
import psycopg

from csp import metrics
from csp.models import REPORTS
from csp.noise.rules import RULES_LOCK, Rule, Rules, compiled
from csp.writing.entries import Entry, Member
from csp.writing.group_limit import GroupLimit
from csp.writing.reach import Pair, Reach
from kernel.db.connections import (
    CommitUnknownError,
    connect_directly,
    is_deadlock,
    is_lost,
    is_unavailable,
)

SETTLE_SECONDS = 5.0
RETRY_SECONDS = 0.1
MAX_TRIES = 3
log = logging.getLogger(__name__)

NO_RULE = 0
# The results of csp_write_batch (see the migration) if it has written nothing: the noise rules have
# changed, or an earlier call has already written the batch.
OTHER_RULES, REPEATED = "other rules", "repeated"

_RULES_VERSION = "SELECT csp_rules_version()"
_ENABLED_RULES = "SELECT id, name, target, pattern FROM csp_noiserule WHERE enabled ORDER BY id"
_WRITE_BATCH = """
SELECT verdict, outgrown FROM csp_write_batch(
    %s::uuid, %s, %s, %s, %s::json, %s::json)
"""


class Store:
    """Writes batches with its own database connection. Only one thread may use an instance."""

    def __init__(self, connect: Callable[[], psycopg.Connection[Any]] | None = None) -> None:
        self._connect = connect or _connect
        self._connection: psycopg.Connection[Any] | None = None
        self._sent = False
        self._days: set[datetime] = set()
        self._rules = Rules()
        self._rules_version: str | None = None
        self._reach = Reach()
        self._groups = GroupLimit()

    def commit(
        self,
        entries: Sequence[Entry],
        *,
        batch_id: uuid.UUID | None = None,
        imported: bool = False,
    ) -> bool:
        """Writes all entries in one transaction.

        Returns False if an earlier call has already written a batch with this id.

        The transaction first inserts the id of the batch. If the connection is lost, the same batch
        is written again. If the first attempt was committed, the id exists already, so no report is
        counted twice.

        Raises: the database error if the database stays unavailable; CommitUnknownError if the
        batch may have been committed.
        """
        batch_id = batch_id or uuid.uuid4()
        give_up = float("inf")
        self._sent = lost = False
        for tries in count(1):
            try:
                return self._try(batch_id, entries, imported=imported)
            except Exception as error:
                connected = self._connection is not None
                self.close()
                lost |= self._sent and is_lost(error)
                if self._is_final(error, connected=connected or lost, tries=tries):
                    raise
                # The time limit starts at the first error, because the first attempt may take long.
                give_up = min(give_up, time.monotonic() + SETTLE_SECONDS)
                if time.monotonic() >= give_up:
                    if lost:
                        raise CommitUnknownError("the outcome of a commit is unknown") from error
                    raise
                time.sleep(RETRY_SECONDS)
        raise AssertionError("count() has no end")

    def _is_final(self, error: Exception, *, connected: bool, tries: int) -> bool:
        """Returns whether the error must be raised, because another attempt would not help."""
        if _is_transient(error):
            return tries >= MAX_TRIES
        return not is_unavailable(error) or not connected

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
        self._forget_rows()
        self._rules_version = None
        django.db.connection.close()

    def _try(self, batch_id: uuid.UUID, entries: Sequence[Entry], *, imported: bool) -> bool:
        """Writes the batch once. Returns whether the current call of `commit` has written it.

        Also returns True if an earlier attempt has committed the batch, but its result was lost.
        """
        connection = self.connected()
        self._ensure_partitions(entries)
        entries = self._groups.apply(connection, entries)
        had_been_sent, self._sent = self._sent, True
        rules, verdict, outgrown = self._write(connection, batch_id, entries, imported=imported)
        if verdict == REPEATED and not had_been_sent:
            return False
        _count(rules)
        self._groups.remember(entries)
        self._reach.remember(entries)
        if outgrown:
            self._trim(connection, outgrown)
        return True

    def _trim(self, connection: psycopg.Connection[Any], outgrown: Sequence[Pair]) -> None:
        """Trims sketches after the commit. Does not raise errors, because the commit succeeded."""
        try:
            self._reach.trim(connection, outgrown)
        except psycopg.Error as error:
            log.warning(
                "could not update the estimated numbers of pages and clients of a group: %s",
                type(error).__name__,
            )
            self.close()

    def _write(
        self,
        connection: psycopg.Connection[Any],
        batch_id: uuid.UUID,
        entries: Sequence[Entry],
        *,
        imported: bool,
    ) -> tuple[list[Rule | None], str, Sequence[Pair] | None]:
        """Writes the batch with one call of csp_write_batch.

        Returns the noise rule of each report, the verdict, and the groups whose reach is now too
        large for an exact count. If the noise rules have changed since this process read them, the
        call writes nothing. In that case, reads the rules again and repeats the call.
        """
        while True:
            if self._rules_version is None:
                self._read_rules(connection)
            rules = [self._rules.match(entry.facts) for entry in entries]
            row = connection.execute(
                _WRITE_BATCH,
                [
                    *(batch_id, imported, RULES_LOCK, self._rules_version),
                    _report_rows(entries, rules),
                    _member_rows(self._reach.new_members(entries)),
                ],
            ).fetchone()
            verdict, outgrown = row or (OTHER_RULES, None)
            if verdict != OTHER_RULES:
                return rules, verdict, outgrown
            self._rules_version = None

    def _ensure_partitions(self, entries: Sequence[Entry]) -> None:
        for moment in {entry.received_at for entry in entries}:
            day = moment.replace(hour=0, minute=0, second=0, microsecond=0)
            if day not in self._days:
                REPORTS.ensure(day, day)
                # Return Django's connection to the pool. This thread no longer needs it.
                django.db.connection.close()
                self._days.add(day)
                # Pruning may have deleted groups since this thread last saw a new day.
                self._forget_rows()

    def _forget_rows(self) -> None:
        self._groups.forget()
        self._reach.forget()

    def _read_rules(self, connection: psycopg.Connection[Any]) -> None:
        # Read the version before the rules. If a rule changes between the two queries, the version
        # is outdated, and csp_write_batch detects it.
        version = connection.execute(_RULES_VERSION).fetchone()
        rows = connection.execute(_ENABLED_RULES).fetchall()
        self._rules = compiled(Rule(*row) for row in rows)
        self._rules_version = version[0] if version else None


def _connect() -> psycopg.Connection[Any]:
    return connect_directly(application_name="coderapi csp writer")


def _has_ended(connection: psycopg.Connection[Any]) -> bool:
    """Returns whether the server has closed the connection, or is about to close it."""
    poll = select.poll()
    poll.register(connection, select.POLLIN)
    return bool(poll.poll(0))


def _is_transient(error: Exception) -> bool:
    """Returns whether the error is a deadlock, or means that a row's partition was dropped.

    If a partition does not exist, PostgreSQL raises a check violation without a constraint name.
    """
    if isinstance(error, psycopg.errors.CheckViolation):
        return error.diag.constraint_name is None
    return is_deadlock(error)


def _report_rows(entries: Sequence[Entry], rules: Sequence[Rule | None]) -> str:
    pairs = zip(entries, rules, strict=True)
    rows = [{**entry.row, "rule_id": rule.id if rule else NO_RULE} for entry, rule in pairs]
    return orjson.dumps(rows).decode()


def _member_rows(members: Sequence[Member]) -> str | None:
    rows = [{"group_id": group, "kind": kind, "member": member} for group, kind, member in members]
    return orjson.dumps(rows).decode() if rows else None


def _count(rules: Sequence[Rule | None]) -> None:
    marked = Counter(rule.name for rule in rules if rule)
    for name, hits in marked.items():
        metrics.NOISE.labels(name).inc(hits)
    metrics.REPORTS.labels("noise").inc(marked.total())
    metrics.REPORTS.labels("stored").inc(len(rules) - marked.total())
