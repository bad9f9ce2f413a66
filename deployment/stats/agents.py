"""Taking in agent rows: each is kept raw while its hour is, and folded exactly once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from operator import itemgetter
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from psycopg.errors import UniqueViolation

from deployment.stats import partitions
from deployment.stats.arriving import CREATED_AT, ID, Arrived
from deployment.stats.outcome import Rejection, Verdicts
from deployment.stats.retention import minutes_from
from deployment.stats.rows import AGENT_MEMBERS
from deployment.stats.staging import array, copied

# A row is its number and then the values of rows.AGENT_MEMBERS.
type Row = tuple[Any, ...]
# How far around its rows' times a batch looks for the same id with another time.
NEIGHBOURHOOD = timedelta(hours=1)
COLUMNS = [member.name for member in AGENT_MEMBERS]

_KNOWN = """
SELECT id::text, created_at FROM deployment_agentstat
WHERE id = ANY(%s::uuid[]) AND created_at BETWEEN %s AND %s
UNION ALL
SELECT id::text, created_at FROM deployment_lateagentstat WHERE id = ANY(%s::uuid[])
"""


def prepare(rows: Iterable[Row], *, now: datetime) -> None:
    """Makes the partitions that the rows need, outside the transaction that takes them in.

    Making one locks the whole table, and dropping old ones does too: within that transaction the
    two would wait for each other.
    """
    latest = now + partitions.AHEAD
    hours = {partitions.hour_of(row[CREATED_AT]) for row in rows if row[CREATED_AT] <= latest}
    kept_from = partitions.kept_from(now, retention=settings.STATS_RAW_RETENTION)
    partitions.ensure_hours(hours, kept_from=max(kept_from, minutes_from(now)))


def take(rows: Sequence[Row], *, now: datetime) -> Verdicts:
    """Takes in each new row once, in the surrounding transaction, after `prepare`."""
    verdicts = Verdicts()
    if not settings.STATS_USAGE_ENABLED:
        verdicts.rejected = [_refused(row, "kind", "agent rows are switched off") for row in rows]
        return verdicts
    distinct = _without_repetitions(_timely(rows, now=now, verdicts=verdicts), verdicts=verdicts)
    if distinct:
        _take_distinct(distinct, now=now, verdicts=verdicts)
    return verdicts


def _refused(row: Row, field: str, detail: str) -> Rejection:
    return Rejection(row[0], field, detail)


def _timely(rows: Iterable[Row], *, now: datetime, verdicts: Verdicts) -> list[Row]:
    """The rows whose time is neither too far ahead nor older than anything that is kept."""
    latest = now + partitions.AHEAD
    earliest = minutes_from(now)
    timely = []
    for row in rows:
        if row[CREATED_AT] > latest:
            detail = f"is more than {partitions.AHEAD} ahead of {now.isoformat()}"
            verdicts.rejected.append(_refused(row, "created_at", detail))
        elif row[CREATED_AT] < earliest:
            detail = f"is before {earliest.isoformat()}, and nothing that old is kept"
            verdicts.rejected.append(_refused(row, "created_at", detail))
        else:
            timely.append(row)
    return timely


def _without_repetitions(rows: Iterable[Row], *, verdicts: Verdicts) -> list[Row]:
    first: dict[str, Row] = {}
    for row in rows:
        known = first.setdefault(row[ID], row)
        if known is not row:
            _judge_known(row[0], known[CREATED_AT] == row[CREATED_AT], verdicts=verdicts)
    return list(first.values())


def _judge_known(number: int, same_time: bool, *, verdicts: Verdicts) -> None:
    if same_time:
        verdicts.duplicate += 1
    else:
        verdicts.rejected.append(Rejection(number, "id", "is known with another created_at"))


def _take_distinct(rows: Sequence[Row], *, now: datetime, verdicts: Verdicts) -> None:
    partitions.lock_hours(shared=True)
    hours = partitions.look_at_hours({partitions.hour_of(row[CREATED_AT]) for row in rows})
    # In the order of their keys, so that two transactions with the same rows do not deadlock.
    open_rows = sorted(_open(rows, hours, verdicts=verdicts), key=itemgetter(ID))
    new = _keep_new(open_rows, hours, verdicts=verdicts)
    verdicts.accepted += len(new)
    if new:
        arrived = Arrived()
        arrived.add(new, now=now)
        arrived.fold()


def _open(rows: Iterable[Row], hours: partitions.Hours, *, verdicts: Verdicts) -> Iterable[Row]:
    """The rows whose hour is not closed."""
    for row in rows:
        hour = partitions.hour_of(row[CREATED_AT])
        if hour in hours.closed:
            detail = f"is of the hour {hour.isoformat()}, which is closed"
            verdicts.rejected.append(_refused(row, "created_at", detail))
        else:
            yield row


def _keep_new(rows: Sequence[Row], hours: partitions.Hours, *, verdicts: Verdicts) -> Sequence[Row]:
    """Keeps the rows that are not known yet, and gives them.

    Another transaction may bring in the same rows between the look and the insert. The insert
    waits for it and fails: then it is undone, and the rows are seen.
    """
    while rows:
        rows = _without_known(rows, verdicts=verdicts)
        with suppress(UniqueViolation):
            with transaction.atomic():
                _keep(rows, hours)
            break
    return rows


def _keep(rows: Iterable[Row], hours: partitions.Hours) -> None:
    kept: list[Row] = []
    late: list[Row] = []
    for row in rows:
        (kept if partitions.hour_of(row[CREATED_AT]) in hours.kept else late).append(row)
    if kept:
        copied("deployment_agentstat", columns=COLUMNS, rows=(row[1:] for row in kept))
    if late:
        keys = ((row[ID], row[CREATED_AT]) for row in late)
        copied("deployment_lateagentstat", columns=["id", "created_at"], rows=keys)


def _without_known(rows: Sequence[Row], *, verdicts: Verdicts) -> Sequence[Row]:
    """The rows whose id is new; the others are judged."""
    known = _known(rows)
    if not known:
        return rows
    for row in rows:
        if row[ID] in known:
            _judge_known(row[0], known[row[ID]] == row[CREATED_AT], verdicts=verdicts)
    return [row for row in rows if row[ID] not in known]


def _known(rows: Sequence[Row]) -> dict[str, datetime]:
    """When those of these rows' ids that came before were of."""
    ids = array(row[ID] for row in rows)
    times = [row[CREATED_AT] for row in rows]
    span = min(times) - NEIGHBOURHOOD, max(times) + NEIGHBOURHOOD
    with connection.cursor() as cursor:
        # Rows by the million must not be scanned for a few new ones.
        cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute(_KNOWN, [ids, *span, ids])
        found = dict(cursor.fetchall())
        cursor.execute("SET LOCAL enable_seqscan = on")
    return found
