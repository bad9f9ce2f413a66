"""Finding the rows that came before: whose ids are known, with the same time or with another.

Within an hour an id is unique. Across the border of two hours it is looked for where the two times
may be of one window, so that no snapshot counts an id twice. It is not looked for any further: an
index over all hours cannot be dropped with an hour, and costs more than all else that a row does.

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
from deployment.stats.figures import WINDOW
from deployment.stats.models import LateAgentStat
from deployment.stats.outcome import Verdicts
from deployment.stats.partitions import AGENT_STATS, HOUR
from deployment.stats.rows import Row
from deployment.stats.staging import array

# The partition is named: with a range of times, the planner might read all that is within it.
_LOOK_UP = "SELECT id::text, created_at FROM {table} WHERE id = ANY(%s::uuid[])"
LATE_ROWS = "deployment_lateagentstat"

type Known = Mapping[str, datetime]


def without(known: Known, rows: Sequence[Row], *, verdicts: Verdicts) -> Sequence[Row]:
    """The rows whose ids are not known; the others are judged."""
    if not known:
        return rows
    for row in rows:
        if row[ID] in known:
            verdicts.judge_known(row[0], known[row[ID]] == row[CREATED_AT])
    return [row for row in rows if row[ID] not in known]


def in_hours_beside(rows: Sequence[Row], hours: partitions.Hours) -> Known:
    """When those of the rows' ids were of that are known across a border of hours near them."""
    found: dict[str, datetime] = {}
    for border in _borders_near([row[CREATED_AT] for row in rows]):
        after = [row[ID] for row in rows if border <= row[CREATED_AT] < border + WINDOW]
        before = [row[ID] for row in rows if border - WINDOW < row[CREATED_AT] < border]
        for hour, ids in ((border - HOUR, after), (border, before)):
            if ids and hour in hours.present:
                found |= _look_up(AGENT_STATS.partition_of(hour), ids)
    return found


def among_late_rows(rows: Sequence[Row], hours: partitions.Hours) -> Known:
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


def _borders_near(times: Sequence[datetime]) -> list[datetime]:
    """The borders of hours that some of the times may be less than a window from."""
    if not times:
        return []
    first, last = min(times), max(times)
    asked = partitions.hours_of(times)
    borders = asked | {hour + HOUR for hour in asked}
    return [border for border in borders if border - WINDOW < last and first < border + WINDOW]


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


def _look_up(table: str, ids: list[str]) -> dict[str, datetime]:
    with connection.cursor() as cursor:
        # Rows by the million must not be scanned for a few new ones.
        cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute(_LOOK_UP.format(table=table), [array(ids)])
        found = dict(cursor.fetchall())
        cursor.execute("SET LOCAL enable_seqscan = on")
    return found
