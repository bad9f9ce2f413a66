"""Rows whose id is known from another hour: found when theirs is over.

On their way in, many rows are not looked for, and two that come at once do not see each other.

Of two rows with the same id the one that came later is wrong. It is taken out of all sums again;
snapshots that were taken meanwhile stay as they are. A late row, of which only the key is kept, is
never taken back.
"""

from __future__ import annotations

import logging
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from functools import partial
from itertools import batched

from django.db import connection, transaction

from deployment.stats import folding, partitions
from deployment.stats.arriving import CREATED_AT, ID, Arrived, slice_start
from deployment.stats.cells import MINUTE, floor
from deployment.stats.known_rows import LATE_ROWS
from deployment.stats.models import LatencyBucket, MinuteSum, SliceSum, UncheckedHour
from deployment.stats.partitions import AGENT_STATS, AHEAD, HOUR
from deployment.stats.rows import AGENT_MEMBERS, Row
from deployment.stats.staging import array
from kernel.db.connections import unless_deadlocked

logger = logging.getLogger(__name__)

# A worker does one job at a time, and snapshots are not to wait long.
RUN_SECONDS = 5.0
# While rows are taken back no other comes in.
PIECE_ROWS = 1_000

# Writers that mark the same hour follow one another, and wait for its check to take note.
_MARK = """
INSERT INTO deployment_uncheckedhour AS known (start) SELECT unnest(%s::timestamptz[]) ORDER BY 1
ON CONFLICT (start) DO UPDATE SET marks = known.marks + 1, compared_to = NULL
"""
_REPEATED = """
SELECT id::text, CASE WHEN one.arrived_at > other.arrived_at
                 THEN one.created_at ELSE other.created_at END
FROM {one} AS one JOIN {other} AS other USING (id)
"""
_REPEATED_LATE = """
SELECT id::text, one.created_at FROM {one} AS one JOIN {other} AS other USING (id)
"""
_OF_THESE = """
USING unnest(%s::uuid[], %s::timestamptz[]) AS these (id, created_at)
WHERE known.id = these.id AND known.created_at = these.created_at
"""
_REMOVE = f"""
DELETE FROM {{partition}} AS known {_OF_THESE}
RETURNING 0, {", ".join(f"known.{member.name}" for member in AGENT_MEMBERS)}
"""  # noqa: S608 - the names are constants of this package
# In this order, in which a snapshot lets those that were ahead count.
_FORGET_AHEAD = f"DELETE FROM deployment_aheadagentstat AS known {_OF_THESE}"  # noqa: S608
_FORGET_NEWEST = f"""
DELETE FROM deployment_newestagentstat AS known {_OF_THESE} RETURNING known.agent_id
"""  # noqa: S608 - the names are constants of this module
# Where nothing is left of a minute, an older one is the agent's newest.
_FORGET_USAGE = """
DELETE FROM deployment_usageminute AS known
USING unnest(%s::uuid[], %s::timestamptz[]) AS these (agent_id, minute)
WHERE known.agent_id = these.agent_id AND known.minute = these.minute AND NOT EXISTS (
    SELECT FROM deployment_agentstat AS kept WHERE usage AND kept.agent_id = known.agent_id
    AND created_at >= known.minute AND created_at < known.minute + INTERVAL '1 minute'
)
"""

type Key = tuple[str, datetime]


def check_later(hours: Iterable[datetime]) -> None:
    """Marks the hours, at the end of the transaction that brings their rows."""
    marked = array(hours)
    if marked != "{}":
        with connection.cursor() as cursor:
            cursor.execute(_MARK, [marked])


def remove_repeated(now: datetime) -> int:
    """Checks marked hours that are over, for some seconds, and removes what is wrong; how much."""
    ends, removed = time.monotonic() + RUN_SECONDS, 0
    for hour in UncheckedHour.objects.filter(start__lte=now - HOUR - AHEAD).order_by("start"):
        removed += _check(hour, now=now, ends=ends)
        if time.monotonic() >= ends:
            break
    if removed:
        logger.warning("Rows removed whose ids were known with another created_at: %d", removed)
    return removed


def _check(hour: UncheckedHour, *, now: datetime, ends: float) -> int:
    """Goes on to check the hour until then; how many rows were removed."""
    # What comes while it is checked marks it again, and it is checked from the beginning.
    marked = UncheckedHour.objects.filter(start=hour.start, marks=hour.marks)
    removed = _without_late_rows(hour.start, now=now) if hour.compared_to is None else 0
    for other in _others(hour, latest=now + AHEAD):
        if time.monotonic() >= ends:
            return removed
        removed += _without_rows_of(hour.start, other, now=now)
        marked.update(compared_to=other)
    marked.delete()
    return removed


def _others(hour: UncheckedHour, *, latest: datetime) -> list[datetime]:
    """The hours that it is still to be compared with."""
    done = hour.compared_to or datetime.min.replace(tzinfo=UTC)
    return [each for each in AGENT_STATS.starts() if done < each <= latest and each != hour.start]


def _without_late_rows(hour: datetime, *, now: datetime) -> int:
    """Removes the hour's rows whose id a late one has, too; how many there were."""
    return _remove(_found(_REPEATED_LATE, hour, LATE_ROWS), now=now)


def _without_rows_of(hour: datetime, other: datetime, *, now: datetime) -> int:
    """Removes the rows of both that came later than one of the same id; how many there were."""
    return _remove(_found(_REPEATED, hour, AGENT_STATS.partition_of(other)), now=now)


def _found(query: str, hour: datetime, table: str) -> Sequence[Key]:
    """The keys that the query finds in both; none, where one of them was dropped meanwhile."""
    with transaction.atomic(), connection.cursor() as cursor:
        partitions.lock_hours(shared=True)
        there = {LATE_ROWS, *map(AGENT_STATS.partition_of, AGENT_STATS.starts())}
        one = AGENT_STATS.partition_of(hour)
        if not {one, table} <= there:
            return []
        cursor.execute(query.format(one=one, other=table))
        return [(key, moment) for key, moment in cursor.fetchall()]


def _remove(keys: Iterable[Key], *, now: datetime) -> int:
    """Removes the rows, and what they came to from all that is added up; how many were there."""
    pieces = batched(sorted(keys), PIECE_ROWS)
    return sum(unless_deadlocked(partial(_remove_piece, piece, now=now)) for piece in pieces)


@transaction.atomic
def _remove_piece(keys: Sequence[Key], *, now: datetime) -> int:
    partitions.lock_hours(shared=False)
    rows = _removed(keys)
    arrived = Arrived(now)
    arrived.add(rows)
    arrived.taken_back().fold()
    _forget_what_is_empty(arrived)
    _forget_what_was_newest(rows, now=now)
    return len(rows)


def _removed(keys: Iterable[Key]) -> list[Row]:
    of_hour: dict[datetime, list[Key]] = defaultdict(list)
    for key in keys:
        of_hour[partitions.hour_of(key[1])].append(key)
    rows: list[Row] = []
    # An hour may have been dropped since they were found.
    there = of_hour.keys() & set(AGENT_STATS.starts())
    with connection.cursor() as cursor:
        for hour in sorted(there):
            these = of_hour[hour]
            statement = _REMOVE.format(partition=AGENT_STATS.partition_of(hour))
            cursor.execute(statement, [array(column) for column in zip(*these, strict=True)])
            rows += cursor.fetchall()
    return rows


def _forget_what_is_empty(arrived: Arrived) -> None:
    """Forgets the sums that no row is left of, and slices that are no longer right."""
    starts = {slice_start(number) for number, _ in arrived.cells}
    minutes = {floor(start, MINUTE) for start in starts}
    # Of minutes that are too old for it, nothing was taken out of the slices.
    old = [minute for minute in minutes if minute < folding.slices_from(arrived.now)]
    MinuteSum.objects.filter(minute__in=old).update(sliced_count=0)
    MinuteSum.objects.filter(minute__in=minutes, row_count=0).delete()
    LatencyBucket.objects.filter(minute__in=minutes, row_count=0).delete()
    SliceSum.objects.filter(slice__in=starts, row_count=0).delete()
    agents, of_usage = ([key[place] for key in arrived.usage] for place in (0, 1))
    with connection.cursor() as cursor:
        cursor.execute(_FORGET_USAGE, [array(agents), array(of_usage)])


def _forget_what_was_newest(rows: Sequence[Row], *, now: datetime) -> None:
    """Lets the row before be the agent's newest where it was one of these."""
    these = [array(row[place] for row in rows) for place in (ID, CREATED_AT)]
    with connection.cursor() as cursor:
        cursor.execute(_FORGET_AHEAD, these)
        cursor.execute(_FORGET_NEWEST, these)
        agents = array(agent for (agent,) in cursor.fetchall())
    folding.newest_of(agents, now=now)
