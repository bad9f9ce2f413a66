"""Where raw rows are kept: hourly partitions, and which hours they are kept for."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import LiteralString

from django.db import DatabaseError, connection
from psycopg import sql

from deployment.stats.models import ClosedHour
from kernel.db.connections import lock_number
from kernel.db.partitions import PartitionedTable

logger = logging.getLogger(__name__)

HOUR = timedelta(hours=1)
UNIQUE_WITHIN = "CREATE UNIQUE INDEX {index} ON {partition} (id)"

_WITHOUT_UNIQUE = """
SELECT name FROM unnest(%s::text[]) AS name
WHERE to_regclass(name) IS NOT NULL AND NOT EXISTS (
    SELECT FROM pg_index WHERE indrelid = to_regclass(name) AND indisunique AND indisvalid
)
ORDER BY 1
"""
_DELETE_REPEATED = """
DELETE FROM {partition} AS a USING {partition} AS b WHERE a.id = b.id AND a.ctid > b.ctid
"""
# What was broken off left an index that is not valid. Rows come in while the new one is made.
_UNIQUE_AFTERWARDS = (
    "DROP INDEX CONCURRENTLY IF EXISTS {index}",
    "CREATE UNIQUE INDEX CONCURRENTLY {index} ON {partition} (id)",
)


class AgentStats(PartitionedTable):
    """In each partition an id is unique, which over all of them no index can say."""

    def _create(self, first: datetime) -> None:
        # Rows that come meanwhile would be late to some and kept raw by others.
        lock_hours(shared=False)
        super()._create(first)
        self._execute(_in(self._partition(first), UNIQUE_WITHIN))

    def make_ids_unique(self) -> int:
        """Makes ids unique in partitions that a replica of an older version made; how many.

        Runs outside a transaction. Raises: DatabaseError of the first partition where it failed,
        after all the others had their turn.
        """
        lacking = self._without_unique()
        errors = []
        for partition in lacking:
            try:
                self._make_ids_unique_in(partition)
            except DatabaseError as error:
                logger.warning("Ids of %s are not unique: %s", partition, error)
                errors.append(error)
        if errors:
            raise errors[0]
        return len(lacking)

    def _without_unique(self) -> list[str]:
        with connection.cursor() as cursor:
            cursor.execute(_WITHOUT_UNIQUE, [[self._partition(first) for first in self.starts()]])
            return [name for (name,) in cursor.fetchall()]

    def _make_ids_unique_in(self, partition: str) -> None:
        """Of rows with the same id, which the older version let in, one stays."""
        with connection.cursor() as cursor:
            cursor.execute(_in(partition, _DELETE_REPEATED).as_string(cursor.connection))
            if cursor.rowcount:
                repeated = cursor.rowcount
                logger.warning("Rows of %s with repeated ids deleted: %d", partition, repeated)
        for statement in _UNIQUE_AFTERWARDS:
            self._execute(_in(partition, statement))

    def partition_of(self, hour: datetime) -> str:
        return self._partition(hour)


def _in(partition: str, statement: LiteralString) -> sql.Composed:
    """The statement with the names of the partition and of its index."""
    index = sql.Identifier(f"{partition}_id")
    return sql.SQL(statement).format(partition=sql.Identifier(partition), index=index)


AGENT_STATS = AgentStats("deployment_agentstat", HOUR)
# Clocks of agents may run ahead by this much; rows further ahead are refused.
AHEAD = timedelta(minutes=5)
LOCK = "agent-stats-partitions"


def hour_of(moment: datetime) -> datetime:
    return moment.replace(minute=0, second=0, microsecond=0)


def hours_of(moments: Iterable[datetime]) -> set[datetime]:
    """The hours that the moments are of."""
    times = list(moments)
    if not times:
        return set()
    first, last = hour_of(min(times)), hour_of(max(times))
    return {first} if first == last else set(map(hour_of, times))


def within(hour: datetime) -> tuple[datetime, datetime]:
    """The first and the last moment of an hour."""
    return hour, hour + HOUR - timedelta(microseconds=1)


def kept_from(now: datetime, *, retention: timedelta) -> datetime:
    """The first hour whose raw rows are still kept. A retention of 0 keeps them for ever."""
    if not retention:
        return datetime.min.replace(tzinfo=now.tzinfo)
    # An hour goes when the whole of it is too old. Snapshots need the raw rows of their edges.
    return hour_of(now - max(retention, HOUR))


@dataclass(frozen=True, slots=True)
class Hours:
    """What is so of the hours asked for: kept raw, or folded only; closed ones had raw rows.

    `present` are all those, asked for or not, whose rows are there.
    """

    asked: frozenset[datetime]
    present: frozenset[datetime]
    closed: frozenset[datetime]

    @property
    def kept(self) -> frozenset[datetime]:
        return self.asked & self.present


def lock_hours(*, shared: bool) -> None:
    """Until the transaction ends, no hour comes or goes (shared) or no row comes in (not)."""
    function = "pg_advisory_xact_lock_shared" if shared else "pg_advisory_xact_lock"
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {function}(%s)", [lock_number(LOCK)])


def ensure_hours(hours: Iterable[datetime], *, kept_from: datetime) -> int:
    """Makes the missing partitions of those hours that are to be kept and are not closed; how many.

    Of one that was made again, rows that were dropped could come once more.
    """
    missing = {hour for hour in hours if hour >= kept_from} - set(AGENT_STATS.starts())
    return sum(AGENT_STATS.ensure(hour, hour) for hour in sorted(missing - _closed(missing)))


def closed_among(moments: Iterable[datetime]) -> bool:
    """Whether one of the moments is of an hour whose raw rows are dropped."""
    return bool(_closed(hours_of(moments)))


def _closed(hours: Collection[datetime]) -> frozenset[datetime]:
    if not hours:
        return frozenset()
    closed = ClosedHour.objects.filter(start__in=hours)
    return frozenset(closed.values_list("start", flat=True))


def look_at_hours(hours: Iterable[datetime]) -> Hours:
    """What is so of these hours, as long as `lock_hours` holds."""
    asked = frozenset(hours)
    return Hours(asked, frozenset(AGENT_STATS.starts()), _closed(asked))
