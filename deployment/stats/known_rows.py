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
# How often a transaction looks for a row in an hour, all in all some 15 ms, and in how many hours:
# each locks the partition and its indexes, of which the server has only so many.
MOST_LOOKUPS = 10_000
SAMPLED_ROWS = 16
MOST_HOURS = 26

# Partitions are named: with a range of times, the planner might read all that is within it, and
# with none it would lock all there are.
_LOOK_UP = "SELECT id::text, created_at FROM {table} WHERE id = ANY(%s::uuid[])"

type Known = Mapping[str, datetime]


class KnownRows:
    """Finds rows that came before, within what a transaction may look up."""

    def __init__(self) -> None:
        self._left = MOST_LOOKUPS
        self._is_sampled = False

    def of(self, rows: Sequence[Row], hours: partitions.Hours, *, now: datetime) -> Known:
        """The known ids among the rows', with their times; some of a row's own hour may lack."""
        if not rows:
            return {}
        filled = sorted(hour for hour in hours.present if hour <= now + partitions.AHEAD)
        tables = [LATE_ROWS, *map(AGENT_STATS.partition_of, filled[-MOST_HOURS:])]
        lookups = len(rows) * len(tables)
        if lookups <= self._left or self._finds_moved(rows, tables):
            self._left -= lookups
            return _look_up(tables, rows)
        kept, late = kept_and_late(rows, hours)
        # A late row is not kept and cannot be taken back: it is looked for whatever that costs.
        return _among_late_rows(kept) | _look_up(tables[1:], late)

    def _finds_moved(self, rows: Sequence[Row], tables: Sequence[str]) -> bool:
        """Whether a sample of the first rows has one that is known with another time."""
        if self._is_sampled:
            return False
        sample = rows[:: -(-len(rows) // SAMPLED_ROWS)]
        known = _look_up(tables, sample)
        self._is_sampled = not _any_moved(sample, known)
        return not self._is_sampled


def _any_moved(rows: Sequence[Row], known: Known) -> bool:
    """Whether one of them is known with another time."""
    return any(known.get(row[ID], row[CREATED_AT]) != row[CREATED_AT] for row in rows)


def without(known: Known, rows: Sequence[Row], *, verdicts: Verdicts) -> Sequence[Row]:
    """The rows whose ids are not known; the others are judged."""
    if not known:
        return rows
    for row in rows:
        if row[ID] in known:
            verdicts.judge_known(row[0], known[row[ID]] == row[CREATED_AT])
    return [row for row in rows if row[ID] not in known]


def kept_and_late(rows: Sequence[Row], hours: partitions.Hours) -> tuple[Sequence[Row], list[Row]]:
    """The rows whose hour is kept, and the others."""
    kept = hours.kept
    if kept == hours.asked:
        return rows, []
    there: list[Row] = []
    late: list[Row] = []
    for row in rows:
        (there if partitions.hour_of(row[CREATED_AT]) in kept else late).append(row)
    return there, late


def _among_late_rows(rows: Sequence[Row]) -> dict[str, datetime]:
    """The ids among these rows', of kept hours, that a late row within an hour has; its time."""
    if not rows or not _are_late_rows_near([row[CREATED_AT] for row in rows]):
        return {}
    times = {row[ID]: row[CREATED_AT] for row in rows}
    late = _look_up([LATE_ROWS], rows)
    return {key: time for key, time in late.items() if abs(time - times[key]) < HOUR}


def _are_late_rows_near(times: Sequence[datetime]) -> bool:
    near = min(times) - HOUR, max(times) + HOUR
    return LateAgentStat.objects.filter(created_at__range=near).exists()


def in_their_hours(rows: Sequence[Row], hours: partitions.Hours) -> Known:
    """The ids among the rows' that their own hours have, or late rows where these come late."""
    those: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        hour = partitions.hour_of(row[CREATED_AT])
        those[AGENT_STATS.partition_of(hour) if hour in hours.kept else LATE_ROWS].append(row)
    found: dict[str, datetime] = {}
    for table, of_table in those.items():
        found |= _look_up([table], of_table)
    return found


def _look_up(tables: Sequence[str], rows: Sequence[Row]) -> dict[str, datetime]:
    if not (tables and rows):
        return {}
    query = " UNION ALL ".join(_LOOK_UP.format(table=table) for table in tables)
    ids = array(row[ID] for row in rows)
    with connection.cursor() as cursor:
        # Rows by the million must not be scanned for a few new ones.
        cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute(query, [ids] * len(tables))
        found = dict(cursor.fetchall())
        cursor.execute("SET LOCAL enable_seqscan = on")
    return found
