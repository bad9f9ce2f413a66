"""Manages tables partitioned by time: creates partitions in advance, and drops old ones."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.db import OperationalError, connection, transaction
from psycopg import sql

from kernel.db.connections import CommitUnknownError, commit_with_retry, transaction_lock

_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class PartitionedTable:
    """A table that is partitioned by ranges of a timestamp. Each partition covers `span`."""

    name: str
    span: timedelta

    def ensure(self, start: datetime, end: datetime) -> int:
        """Creates the missing partitions in [start, end]. Returns their number."""
        begin = start - (start - _EPOCH) % self.span
        wanted = {begin + self.span * n for n in range((end - begin) // self.span + 1)}
        if wanted <= set(self.starts()):
            return 0

        def create() -> int:
            with transaction.atomic(), transaction_lock(f"partitions:{self.name}"):
                missing = wanted - set(self.starts())
                for first in sorted(missing):
                    self._create(first)
            return len(missing)

        try:
            return commit_with_retry(create, earlier=lambda: None)
        except CommitUnknownError:
            # An OperationalError becomes a 503 response. A CommitUnknownError would become a 504,
            # but none of the request's rows were written.
            raise OperationalError("a partition could not be created") from None

    def drop_before(self, moment: datetime) -> list[str]:
        """Drops the partitions whose rows are all older than `moment`. Returns their names."""
        names = self.older_than(moment)
        for name in names:
            self._execute(sql.SQL("DROP TABLE {}"), sql.Identifier(name))
        return names

    def drop(self, first: datetime) -> None:
        """Drops the partition that starts at `first`."""
        self._execute(sql.SQL("DROP TABLE {}"), sql.Identifier(self._partition(first)))

    def older_than(self, moment: datetime) -> list[str]:
        """Returns the partitions that `drop_before` would drop."""
        return [self._partition(first) for first in self.starts() if first + self.span <= moment]

    def starts(self) -> list[datetime]:
        """Returns the start time of each partition, oldest first.

        Ignores partitions whose names have another format.
        """
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT inhrelid::regclass::text FROM pg_inherits "
                "WHERE inhparent = %s::regclass ORDER BY 1",
                [self.name],
            )
            names = [row[0] for row in cursor.fetchall()]
        found = ((name, _parse(name.rpartition("_p")[2])) for name in names)
        return sorted(first for name, first in found if first and self._partition(first) == name)

    def _partition(self, first: datetime) -> str:
        # %Y is not used, because on some systems it does not pad the year to four digits.
        day = first.astimezone(UTC)
        return f"{self.name}_p{day.year:04}{day:%m%d%H%M}"

    def _create(self, first: datetime) -> None:
        self._execute(
            sql.SQL("CREATE TABLE {} PARTITION OF {} FOR VALUES FROM ({}) TO ({})"),
            sql.Identifier(self._partition(first)),
            sql.Identifier(self.name),
            sql.Literal(first),
            sql.Literal(first + self.span),
        )

    def _execute(self, statement: sql.SQL, *parts: sql.Composable) -> None:
        with connection.cursor() as cursor:
            cursor.execute(statement.format(*parts))


def _parse(suffix: str) -> datetime | None:
    """Parses the start time in a partition's name. Returns None for names in another format."""
    try:
        return datetime.strptime(suffix, "%Y%m%d%H%M").replace(tzinfo=UTC)
    except ValueError:
        return None
