"""Finding the rows that came before: whose ids are known, with the same time or with another.

Within an hour an id is unique. For another time it is looked for in the hours before and after, too,
but no further: it would have to be looked up in each hour apart, as an index over all of them cannot
be dropped with an hour, and costs more than all else that is done to a row.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from django.db import connection

from deployment.stats import partitions
from deployment.stats.arriving import CREATED_AT, ID
from deployment.stats.outcome import Verdicts
from deployment.stats.partitions import HOUR
from deployment.stats.rows import Row
from deployment.stats.staging import array

_IN_HOURS = """
SELECT id::text, created_at FROM deployment_agentstat
WHERE id = ANY(%s::uuid[]) AND created_at >= %s AND created_at < %s
"""
_LATE = "SELECT id::text, created_at FROM deployment_lateagentstat WHERE id = ANY(%s::uuid[])"

type Known = Mapping[str, datetime]


def without(known: Known, rows: Sequence[Row], *, verdicts: Verdicts) -> Sequence[Row]:
    """The rows whose ids are not known; the others are judged."""
    if not known:
        return rows
    for row in rows:
        if row[ID] in known:
            verdicts.judge_known(row[0], known[row[ID]] == row[CREATED_AT])
    return [row for row in rows if row[ID] not in known]


def in_hours_around(rows: Sequence[Row], hours: partitions.Hours) -> Known:
    """When those of the rows' ids were of that are known in the hours before and after theirs."""
    found: dict[str, datetime] = {}
    for hour, ids in _ids_by_hour(rows).items():
        for near in (hour - HOUR, hour + HOUR):
            if near in hours.present:
                found |= _look_up(_IN_HOURS, [ids, near, near + HOUR])
        if not {hour, hour - HOUR} <= hours.present:
            found |= _look_up(_LATE, [ids])
    return found


def in_their_hours(rows: Sequence[Row]) -> Known:
    """When those of the rows' ids were of that are known in their own hours."""
    found: dict[str, datetime] = {}
    for hour, ids in _ids_by_hour(rows).items():
        found |= _look_up(_IN_HOURS, [ids, hour, hour + HOUR]) | _look_up(_LATE, [ids])
    return found


def _ids_by_hour(rows: Sequence[Row]) -> Mapping[datetime, str]:
    hours = partitions.hours_of(row[CREATED_AT] for row in rows)
    if len(hours) == 1:
        return {hour: array(row[ID] for row in rows) for hour in hours}
    ids: dict[datetime, list[str]] = defaultdict(list)
    for row in rows:
        ids[partitions.hour_of(row[CREATED_AT])].append(row[ID])
    return {hour: array(each) for hour, each in ids.items()}


def _look_up(statement: str, parameters: Iterable[datetime | str]) -> dict[str, datetime]:
    with connection.cursor() as cursor:
        # Rows by the million must not be scanned for a few new ones.
        cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute(statement, list(parameters))
        found = dict(cursor.fetchall())
        cursor.execute("SET LOCAL enable_seqscan = on")
    return found
