"""Hours whose raw rows are dropped: of each a fingerprint is kept, to tell one that comes again.

A fingerprint is the beginning of the SHA-256 of a row's id. Of an hour they stand in order, one
after the other: six megabytes for an hour of 10,000 agents, and a new row is taken for a known one
once in a million.
"""

from __future__ import annotations

import hashlib
import uuid
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime

from django.db import connection

from deployment.stats.arriving import CREATED_AT, ID
from deployment.stats.models import AgentStat, ClosedHour
from deployment.stats.outcome import Rejection, Verdicts
from deployment.stats.partitions import AGENT_STATS, Hours, hour_of, within
from deployment.stats.rows import Row

WIDTH = 5
# An hour without rows stays open.
_CLOSE = f"""
INSERT INTO deployment_closedhour (start, row_count, fingerprints)
SELECT %s, count(*), string_agg(fingerprint, '' ORDER BY fingerprint)
FROM (SELECT substring(sha256(uuid_send(id)) FOR {WIDTH}) AS fingerprint FROM {{partition}}) AS ids
HAVING count(*) > 0
ON CONFLICT (start) DO UPDATE
SET row_count = excluded.row_count, fingerprints = excluded.fingerprints
"""  # noqa: S608 - the names are ours


def close(hours: Iterable[datetime]) -> None:
    """Keeps the fingerprints of the hours' rows. Until these are dropped, others may come."""
    with connection.cursor() as cursor:
        for hour in hours:
            cursor.execute(_CLOSE.format(partition=AGENT_STATS.partition_of(hour)), [hour])


def close_anew(hours: Iterable[datetime]) -> None:
    """Does so again for those where others have come, while no more can."""
    closed = ClosedHour.objects.filter(start__in=hours).values_list("start", "row_count")
    known = dict(closed)
    close(hour for hour in hours if _rows_of(hour) != known.get(hour, 0))


def _rows_of(hour: datetime) -> int:
    return AgentStat.objects.filter(created_at__range=within(hour)).count()


def without_known(rows: Sequence[Row], hours: Hours, *, verdicts: Verdicts) -> Sequence[Row]:
    """The rows that were not among those of closed hours; the others are judged."""
    if not hours.closed:
        return rows
    of_hour: dict[datetime, list[Row]] = defaultdict(list)
    for row in rows:
        of_hour[hour_of(row[CREATED_AT])].append(row)
    gone = {row[0] for hour in hours.closed for row in _known(of_hour[hour], hour, verdicts)}
    return [row for row in rows if row[0] not in gone]


def _known(rows: Sequence[Row], hour: datetime, verdicts: Verdicts) -> Sequence[Row]:
    """Those of the hour's rows that came before, or may have."""
    kept = ClosedHour.objects.values_list("fingerprints", flat=True).get(start=hour)
    if kept is None:
        # An older version closed the hour.
        detail = f"is of the hour {hour.isoformat()}, which is closed"
        verdicts.rejected += [Rejection(row[0], "created_at", detail) for row in rows]
        return rows
    fingerprints = bytes(kept)
    known = [row for row in rows if _is_among(row[ID], fingerprints)]
    verdicts.duplicate += len(known)
    return known


def _is_among(row_id: str, fingerprints: bytes) -> bool:
    wanted = hashlib.sha256(uuid.UUID(row_id).bytes).digest()[:WIDTH]
    places = range(0, len(fingerprints), WIDTH)
    place = bisect_left(places, wanted, key=lambda at: fingerprints[at : at + WIDTH])
    return place < len(places) and fingerprints.startswith(wanted, places[place])
