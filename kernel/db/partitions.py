"""Manages tables partitioned by time: creates partitions in advance, and drops old ones.

Neither waits with a lock that holds up writers. `CREATE TABLE … PARTITION OF` and `DROP TABLE` of a
partition lock the whole table, so during a dump every writer would queue behind them. Therefore a
new partition is first created as a separate table, and then attached. An old partition is first
detached concurrently, and then dropped.

**Detaching** waits until no older transaction uses the table. It gives up after a second. Then the
partition is pending: queries no longer find its rows, and the next call of `drop` or `drop_before`
finishes the work. A comment marks the tables that are to be dropped, so that a table which an
operator has detached stays.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
from django.db import OperationalError, transaction
from psycopg import sql

from kernel.db.connections import (
    CommitUnknownError,
    LimitedConnection,
    commit_with_retry,
    connect_directly,
    lock_number,
    transaction_lock,
)
from kernel.db.locks import is_locked, limit_lock_waits, retry_when_locked
from kernel.db.sql import execute, fetch_rows

TO_DROP = "coderapi drops this table"
# The partitions and tables that an earlier call has marked, and whether each is still pending.
MARKED = """
SELECT marked.relname, child.inhrelid IS NOT NULL, coalesce(child.inhdetachpending, false)
FROM pg_class AS parent
JOIN pg_class AS marked ON marked.relnamespace = parent.relnamespace
    AND starts_with(marked.relname, parent.relname || '_p')
    AND obj_description(marked.oid, 'pg_class') = %s
LEFT JOIN pg_inherits AS child ON child.inhrelid = marked.oid
WHERE parent.oid = %s::regclass ORDER BY 1
"""

LIKE = sql.SQL(
    "INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING GENERATED INCLUDING STORAGE "
    "INCLUDING COMPRESSION"
)
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)


class _Dropping(LimitedConnection):
    """A connection that waits while PostgreSQL removes a large file, but not for a frozen one."""

    seconds = 60.0


@dataclass(frozen=True, slots=True)
class PartitionedTable:
    """A table that is partitioned by ranges of a timestamp. Each partition covers `span`.

    `on_truncate` is the trigger function that TRUNCATE of a single partition runs, if any.
    """

    name: str
    span: timedelta
    on_truncate: str = ""

    def ensure(self, start: datetime, end: datetime) -> int:
        """Creates the missing partitions in [start, end]. Returns their number."""
        begin = start - (start - _EPOCH) % self.span
        wanted = {begin + self.span * n for n in range((end - begin) // self.span + 1)}
        if wanted <= set(self.starts()):
            return 0

        def create() -> int:
            with transaction.atomic():
                execute(sql.SQL(limit_lock_waits(locally=True)))
                with transaction_lock(f"partitions:{self.name}"):
                    missing = wanted - set(self.starts())
                    for first in sorted(missing):
                        self._create(first)
            return len(missing)

        try:
            return retry_when_locked(lambda: commit_with_retry(create, earlier=lambda: None))
        except CommitUnknownError:
            # An OperationalError becomes a 503 response. A CommitUnknownError would become a 504,
            # but none of the request's rows were written.
            raise OperationalError("a partition could not be created") from None

    def drop_before(self, moment: datetime) -> list[str]:
        """Drops the partitions whose rows are all older than `moment`.

        Returns the names of the dropped partitions. See `drop` for the others.
        """
        return self._drop_all(self.older_than(moment))

    def drop(self, first: datetime) -> bool:
        """Drops the partition that starts at `first`. Call it outside a transaction.

        Returns False if an older transaction still uses the table. A later call then finishes.
        """
        name = self._partition(first)
        return name in self._drop_all([name])

    def _drop_all(self, names: Iterable[str]) -> list[str]:
        dropped: list[str] = []
        try:
            with connect_directly(_Dropping) as direct:
                direct.execute(limit_lock_waits().encode())
                lock = lock_number(f"drop:{self.name}")
                if direct.execute("SELECT pg_try_advisory_lock(%s)", [lock]).fetchone() == (True,):
                    self._finish(direct, dropped)
                    # Another process may have dropped some of them.
                    left = set(map(self._partition, self.starts())) - set(dropped)
                    for name in sorted(left.intersection(names)):
                        self._detach_and_drop(direct, name)
                        dropped.append(name)
        except psycopg.Error as error:
            if not is_locked(error):
                raise
        return dropped

    def _finish(self, direct: psycopg.Connection[Any], dropped: list[str]) -> None:
        """Drops the partitions that an earlier call has only marked or detached."""
        found = direct.execute(MARKED, [TO_DROP, self.name]).fetchall()
        # Only one partition can be pending. While it is, no other one can be detached.
        for name, is_attached, is_pending in sorted(found, key=lambda row: not row[2]):
            if is_attached:
                self._detach(direct, name, "FINALIZE" if is_pending else "CONCURRENTLY")
            direct.execute(sql.SQL("DROP TABLE {}").format(sql.Identifier(name)))
            dropped.append(name)

    def _detach_and_drop(self, direct: psycopg.Connection[Any], name: str) -> None:
        table = sql.Identifier(name)
        direct.execute(sql.SQL("COMMENT ON TABLE {} IS {}").format(table, sql.Literal(TO_DROP)))
        self._detach(direct, name, "CONCURRENTLY")
        direct.execute(sql.SQL("DROP TABLE {}").format(table))

    def _detach(self, direct: psycopg.Connection[Any], name: str, how: str) -> None:
        statement = sql.SQL("ALTER TABLE {} DETACH PARTITION {} " + how)
        direct.execute(statement.format(sql.Identifier(self.name), sql.Identifier(name)))

    def older_than(self, moment: datetime) -> list[str]:
        """Returns the partitions that `drop_before` would drop."""
        return [self._partition(first) for first in self.starts() if first + self.span <= moment]

    def starts(self) -> list[datetime]:
        """Returns the start time of each partition, oldest first.

        Ignores partitions whose names have another format.
        """
        names = fetch_rows(
            "SELECT inhrelid::regclass::text FROM pg_inherits "
            "WHERE inhparent = %s::regclass ORDER BY 1",
            [self.name],
        )
        found = ((name, _parse(name.rpartition("_p")[2])) for (name,) in names)
        return sorted(first for name, first in found if first and self._partition(first) == name)

    def _partition(self, first: datetime) -> str:
        # %Y is not used, because on some systems it does not pad the year to four digits.
        day = first.astimezone(UTC)
        return f"{self.name}_p{day.year:04}{day:%m%d%H%M}"

    def _create(self, first: datetime) -> None:
        name, table = sql.Identifier(self._partition(first)), sql.Identifier(self.name)
        # Attaching adds the indexes and the triggers. The identity belongs to the whole table.
        execute(sql.SQL("CREATE TABLE {} (LIKE {} {})").format(name, table, LIKE))
        execute(
            sql.SQL("ALTER TABLE {} ATTACH PARTITION {} FOR VALUES FROM ({}) TO ({})").format(
                table, name, sql.Literal(first), sql.Literal(first + self.span)
            )
        )
        if self.on_truncate:
            trigger = "CREATE TRIGGER no_truncate BEFORE TRUNCATE ON {} EXECUTE FUNCTION {}()"
            execute(sql.SQL(trigger).format(name, sql.Identifier(self.on_truncate)))


def _parse(suffix: str) -> datetime | None:
    """Parses the start time in a partition's name. Returns None for names in another format."""
    try:
        return datetime.strptime(suffix, "%Y%m%d%H%M").replace(tzinfo=UTC)
    except ValueError:
        return None
