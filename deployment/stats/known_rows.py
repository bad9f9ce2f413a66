"""Finding the rows that came before: whose ids are known, with the same time or with another.

Within an hour an id is unique. Each of a few rows is looked for in the other hours as well. Of many
that would cost more than all else, as an index over all hours could not be dropped with an hour. So
a sample is looked for, which tells a sender that gives what it sends again another time, and the
others are left to deployment.stats.repeated_ids.

An hour that is kept may have late rows as well: they came while it was not, before the retention
was raised or where another replica's clock was ahead.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime

from django.db import connection

from deployment.stats import partitions
from deployment.stats.arriving import CREATED_AT, ID
from deployment.stats.models import LateAgentStat
from deployment.stats.outcome import Verdicts
from deployment.stats.partitions import AGENT_STATS, HOUR
from deployment.stats.rows import Row
from deployment.stats.staging import array

LATE_ROWS = "deployment_lateagentstat"
# How often a transaction looks for a row in another hour: all in all some 15 ms.
MOST_LOOKUPS = 10_000
SAMPLED_LOOKUPS = 1_500

# The partition is named: with a range of times, the planner might read all that is within it.
_LOOK_UP = "SELECT id::text, created_at FROM {table} WHERE id = ANY(%s::uuid[])"
_LOOK_EVERYWHERE = (
    f"{_LOOK_UP.format(table=AGENT_STATS.name)} UNION ALL {_LOOK_UP.format(table=LATE_ROWS)}"
)

type Known = Mapping[str, datetime]


class KnownRows:
    """Looks for rows, as many as a transaction may; `unchecked` hours have others."""

    def __init__(self) -> None:
        self.unchecked: set[datetime] = set()
        self._left = MOST_LOOKUPS

    def of(self, rows: Sequence[Row], hours: partitions.Hours, *, now: datetime) -> Known:
        """When those of the rows' ids were of that are known, but perhaps from their own hours."""
        if not rows:
            return {}
        filled = [hour for hour in hours.present if hour <= now + partitions.AHEAD]
        lookups = len(rows) * len(filled)
        if lookups <= self._left:
            self._left -= lookups
            return _everywhere(rows)
        sample = rows[:: lookups // SAMPLED_LOOKUPS]
        if _are_of_another_time(sample, _everywhere(sample)):
            return _everywhere(rows)
        self.unchecked |= hours.kept
        return among_late_rows(rows, hours)


def _are_of_another_time(rows: Sequence[Row], known: Known) -> bool:
    return any(known.get(row[ID], row[CREATED_AT]) != row[CREATED_AT] for row in rows)


def without(known: Known, rows: Sequence[Row], *, verdicts: Verdicts) -> Sequence[Row]:
    """The rows whose ids are not known; the others are judged."""
    if not known:
        return rows
    for row in rows:
        if row[ID] in known:
            verdicts.judge_known(row[0], known[row[ID]] == row[CREATED_AT])
    return [row for row in rows if row[ID] not in known]


def among_late_rows(rows: Sequence[Row], hours: partitions.Hours) -> dict[str, datetime]:
    """When those of the rows' ids were of that are known from late rows within an hour of them.

    Rows that come late themselves are not looked for: among late rows an id is unique.
    """
    kept = _of_kept_hours(rows, hours)
    if not kept or not _are_late_rows_near([row[CREATED_AT] for row in kept]):
        return {}
    times = {row[ID]: row[CREATED_AT] for row in kept}
    late = _look_up(LATE_ROWS, list(times))
    return {key: time for key, time in late.items() if abs(time - times[key]) < HOUR}


def _of_kept_hours(rows: Sequence[Row], hours: partitions.Hours) -> Sequence[Row]:
    kept = hours.kept
    if kept == hours.asked:
        return rows
    return [row for row in rows if partitions.hour_of(row[CREATED_AT]) in kept]


def _are_late_rows_near(times: Sequence[datetime]) -> bool:
    near = min(times) - HOUR, max(times) + HOUR
    return LateAgentStat.objects.filter(created_at__range=near).exists()


def in_their_hours(rows: Sequence[Row], hours: partitions.Hours) -> Known:
    """When those of the rows' ids were of that the insert fails for."""
    ids: dict[datetime, list[str]] = defaultdict(list)
    for row in rows:
        ids[partitions.hour_of(row[CREATED_AT])].append(row[ID])
    late = [each for hour in ids.keys() - hours.kept for each in ids[hour]]
    found = _look_up(LATE_ROWS, late) if late else {}
    for hour in hours.kept.intersection(ids):
        found |= _look_up(AGENT_STATS.partition_of(hour), ids[hour])
    return found


def _everywhere(rows: Sequence[Row]) -> dict[str, datetime]:
    ids = [row[ID] for row in rows]
    return _found(_LOOK_EVERYWHERE, ids, ids)


def _look_up(table: str, ids: list[str]) -> dict[str, datetime]:
    return _found(_LOOK_UP.format(table=table), ids)


def _found(query: str, *ids: list[str]) -> dict[str, datetime]:
    with connection.cursor() as cursor:
        # Rows by the million must not be scanned for a few new ones.
        cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute(query, [array(each) for each in ids])
        found = dict(cursor.fetchall())
        cursor.execute("SET LOCAL enable_seqscan = on")
    return found
