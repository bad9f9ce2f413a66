"""Rows whose id was known from another hour: found afterwards where so many came that none looked.

Of two rows with the same id the one that came later is wrong. It is taken out of all sums again;
snapshots that were taken meanwhile stay as they are.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from datetime import datetime

from django.db import connection, transaction

from deployment.stats import folding, partitions
from deployment.stats.arriving import AGENT_ID, CREATED_AT, ID, Arrived, slice_start
from deployment.stats.cells import MINUTE, floor
from deployment.stats.models import (
    AheadAgentStat,
    LatencyBucket,
    MinuteSum,
    NewestAgentStat,
    SliceSum,
    UncheckedHour,
)
from deployment.stats.partitions import AGENT_STATS, AHEAD, HOUR
from deployment.stats.rows import AGENT_MEMBERS, Row
from deployment.stats.staging import array

logger = logging.getLogger(__name__)

# Writers that mark the same hour follow one another, and wait for its check to take note.
_MARK = """
INSERT INTO deployment_uncheckedhour AS known (start) SELECT unnest(%s::timestamptz[]) ORDER BY 1
ON CONFLICT (start) DO UPDATE SET marks = known.marks + 1
"""
# A transaction's number tells which row came first, as far as it is from now; within one
# transaction, each part of an import has a number of its own.
_REPEATED = """
SELECT one.id::text, CASE WHEN age(one.xmin) < age(other.xmin)
                     THEN one.created_at ELSE other.created_at END
FROM {one} AS one JOIN {other} AS other USING (id)
"""
_REMOVE = f"""
DELETE FROM deployment_agentstat WHERE id = %s AND created_at = %s
RETURNING 0, {", ".join(member.name for member in AGENT_MEMBERS)}
"""  # noqa: S608 - the names are constants of this package
# Where nothing is left of a minute, an older one is the agent's newest.
_FORGET_USAGE = """
DELETE FROM deployment_usageminute AS known
WHERE agent_id = %(agent)s AND minute = %(minute)s AND NOT EXISTS (
    SELECT FROM deployment_agentstat AS kept WHERE usage AND kept.agent_id = known.agent_id
    AND created_at >= known.minute AND created_at < known.minute + INTERVAL '1 minute'
)
"""


def check_later(hours: Iterable[datetime]) -> None:
    """Marks the hours, at the end of the transaction that brings their rows."""
    marked = array(hours)
    if marked != "{}":
        with connection.cursor() as cursor:
            cursor.execute(_MARK, [marked])


def remove_repeated(now: datetime) -> int:
    """Checks the marked hours that are over, and removes what is wrong; how many rows."""
    over = UncheckedHour.objects.filter(start__lte=now - HOUR - AHEAD).order_by("start")
    removed = 0
    for hour in over:
        removed += _checked(hour.start, now=now)
        # What came while it was checked has marked it again.
        UncheckedHour.objects.filter(start=hour.start, marks=hour.marks).delete()
    if removed:
        logger.warning("Rows removed whose ids were known with another created_at: %d", removed)
    return removed


def _checked(hour: datetime, *, now: datetime) -> int:
    """Removes the rows that are wrong of the hour and any other; how many there were."""
    others = [other for other in AGENT_STATS.starts() if other != hour and other <= now + AHEAD]
    wrong = {key for other in others for key in _wrong_of(hour, other)}
    if wrong:
        _remove(wrong, now=now)
    return len(wrong)


def _wrong_of(hour: datetime, other: datetime) -> Sequence[tuple[str, datetime]]:
    """The ids and times of rows that came later than one of the same id in the other hour."""
    with transaction.atomic():
        partitions.lock_hours(shared=True)
        if not {hour, other} <= set(AGENT_STATS.starts()):
            return []
        one, two = map(AGENT_STATS.partition_of, (hour, other))
        with connection.cursor() as cursor:
            cursor.execute(_REPEATED.format(one=one, other=two))
            return list(cursor.fetchall())


def _remove(keys: Iterable[tuple[str, datetime]], *, now: datetime) -> None:
    """Removes the rows, and what they came to from all that is added up."""
    with transaction.atomic():
        partitions.lock_hours(shared=False)
        rows = [row for key in sorted(keys) for row in _removed(key)]
        arrived = Arrived(now)
        arrived.add(rows)
        arrived.taken_back().fold()
        _forget_what_was_newest(rows, now=now)
        _forget_what_is_empty(arrived)


def _removed(key: tuple[str, datetime]) -> Sequence[Row]:
    with connection.cursor() as cursor:
        cursor.execute(_REMOVE, key)
        return list(cursor.fetchall())


def _forget_what_was_newest(rows: Iterable[Row], *, now: datetime) -> None:
    """Lets the row before be the agent's newest where it was one of these."""
    agents, ids, times = ([row[place] for row in rows] for place in (AGENT_ID, ID, CREATED_AT))
    NewestAgentStat.objects.filter(agent_id__in=agents, id__in=ids, created_at__in=times).delete()
    AheadAgentStat.objects.filter(id__in=ids, created_at__in=times).delete()
    folding.newest_of(array(sorted(set(agents))), now=now)


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
    with connection.cursor() as cursor:
        for agent, minute in arrived.usage:
            cursor.execute(_FORGET_USAGE, {"agent": agent, "minute": minute})
