"""Taking in agent rows: each is kept raw while its hour is, and folded exactly once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import connection, transaction

from deployment.stats import partitions
from deployment.stats.folding import fold
from deployment.stats.outcome import Rejection, Verdicts
from deployment.stats.retention import minutes_from
from deployment.stats.staging import AGENT_COLUMNS, staged

# A row is its number and then the values of rows.AGENT_MEMBERS.
type Row = tuple[Any, ...]
ID, CREATED_AT = 1, 2
STAGE = "arriving_agent_stats"
# How far around its rows' times a batch looks for the same id with another time.
NEIGHBOURHOOD = timedelta(hours=1)
_COLUMNS = ", ".join(AGENT_COLUMNS)

_KNOWN = f"""
DELETE FROM {STAGE} AS new USING deployment_agentstat AS old
WHERE old.id = new.id AND old.created_at BETWEEN %s AND %s
RETURNING new.row_number, new.created_at = old.created_at
"""  # noqa: S608 - the names are constants of this package
_KNOWN_LATE = f"""
DELETE FROM {STAGE} AS new USING deployment_lateagentstat AS old WHERE old.id = new.id
RETURNING new.row_number, new.created_at = old.created_at
"""  # noqa: S608 - the names are constants of this package
_COUNT = f"SELECT count(*) FROM {STAGE}"  # noqa: S608 - as above
_KEEP = f"""
INSERT INTO deployment_agentstat ({_COLUMNS})
SELECT {_COLUMNS} FROM {STAGE} WHERE NOT late ORDER BY id ON CONFLICT DO NOTHING
"""  # noqa: S608 - the names are constants of this package
_REMEMBER_LATE = f"""
INSERT INTO deployment_lateagentstat (id, created_at)
SELECT id, created_at FROM {STAGE} WHERE late ORDER BY id ON CONFLICT DO NOTHING
"""  # noqa: S608 - the names are constants of this package


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
    hours = {partitions.hour_of(row[CREATED_AT]) for row in rows}
    partitions.lock_hours(shared=True)
    found = partitions.look_at_hours(hours)
    open_rows = _open(rows, found, verdicts=verdicts)
    with staged(STAGE, columns={**AGENT_COLUMNS, "late": "boolean"}, rows=open_rows):
        _insert_new(_span(rows), verdicts=verdicts)
        fold(STAGE, now=now)


def _open(rows: Iterable[Row], hours: partitions.Hours, *, verdicts: Verdicts) -> Iterable[Row]:
    """The rows whose hour is not closed, each followed by whether it comes too late to be kept."""
    for row in rows:
        hour = partitions.hour_of(row[CREATED_AT])
        if hour in hours.closed:
            detail = f"is of the hour {hour.isoformat()}, which is closed"
            verdicts.rejected.append(_refused(row, "created_at", detail))
        else:
            yield (*row, hour not in hours.kept)


def _span(rows: Iterable[Row]) -> tuple[datetime, datetime]:
    times = [row[CREATED_AT] for row in rows]
    return min(times) - NEIGHBOURHOOD, max(times) + NEIGHBOURHOOD


class _RacedError(Exception):
    """Another transaction brought in some of the same rows meanwhile."""


def _insert_new(span: tuple[datetime, datetime], *, verdicts: Verdicts) -> None:
    """Leaves in the stage what is new, and keeps it.

    Another transaction may bring in the same rows between the look and the insert. The insert
    waits for it and skips them, which the counts tell: then it is undone, and they are seen.
    """
    while True:
        new = _drop_known(span, verdicts=verdicts)
        try:
            with transaction.atomic():
                _keep_exactly(new)
        except _RacedError:
            continue
        verdicts.accepted += new
        return


def _keep_exactly(new: int) -> None:
    with connection.cursor() as cursor:
        if cursor.execute(_KEEP).rowcount + cursor.execute(_REMEMBER_LATE).rowcount != new:
            raise _RacedError


def _drop_known(span: tuple[datetime, datetime], *, verdicts: Verdicts) -> int:
    """Drops from the stage what came before; how many rows are left."""
    with connection.cursor() as cursor:
        # The stage has no statistics, and rows by the million must not be scanned for a few new.
        cursor.execute("SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off")
        known = cursor.execute(_KNOWN, span).fetchall() + cursor.execute(_KNOWN_LATE).fetchall()
        cursor.execute("SET LOCAL enable_hashjoin = on; SET LOCAL enable_mergejoin = on")
        for number, same_time in known:
            _judge_known(number, same_time, verdicts=verdicts)
        cursor.execute(_COUNT)
        return int(cursor.fetchone()[0])
