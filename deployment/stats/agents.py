"""Taking in agent rows: each is kept raw while its hour is, and folded exactly once."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import batched
from operator import itemgetter
from typing import Any

from django.conf import settings
from django.db import transaction
from psycopg.errors import UniqueViolation

from deployment.stats import known_rows, partitions
from deployment.stats.arriving import CREATED_AT, ID, Arrived
from deployment.stats.known_rows import LATE_ROWS
from deployment.stats.outcome import Rejection, Verdicts
from deployment.stats.retention import minutes_from
from deployment.stats.rows import AGENT_MEMBERS, Row
from deployment.stats.staging import copied, csv_lines

TABLE = partitions.AGENT_STATS.name
COLUMNS = [member.name for member in AGENT_MEMBERS]
PIECE_ROWS = 500
_id_of, _time_of = itemgetter(ID), itemgetter(CREATED_AT)
_members_of, _key_of = itemgetter(slice(1, None)), itemgetter(ID, CREATED_AT)


@dataclass(frozen=True, slots=True)
class Ready:
    """Agent rows in the order of their ids, and what is needed where all of them are new."""

    rows: list[Row]
    arrived: Arrived
    pieces: list[bytes]


def ready(rows: Iterable[Row], *, now: datetime) -> Ready:
    """Does beforehand, perhaps in another thread, all that needs no database."""
    ordered = sorted(rows, key=_id_of)
    arrived = Arrived(now)
    return Ready(ordered, arrived, list(_adding(ordered, arrived, columns=_members_of)))


def prepare(rows: Collection[Row], *, now: datetime) -> None:
    """Makes the partitions that the rows need, outside the transaction that takes them in.

    Making one locks the whole table, and dropping old ones does too: within that transaction the
    two would wait for each other.
    """
    if rows:
        latest = now + partitions.AHEAD
        hours = {hour for hour in partitions.hours_of(map(_time_of, rows)) if hour <= latest}
        kept_from = partitions.kept_from(now, retention=settings.STATS_RAW_RETENTION)
        partitions.ensure_hours(hours, kept_from=max(kept_from, minutes_from(now)))


def take(rows: Sequence[Row], *, now: datetime, ready: Ready | None = None) -> Verdicts:
    """Takes in each new row once, in the surrounding transaction, after `prepare`.

    `ready` is of the same rows, if they were made ready.
    """
    verdicts = Verdicts()
    if not settings.STATS_USAGE_ENABLED:
        verdicts.rejected = [_refused(row, "kind", "agent rows are switched off") for row in rows]
        return verdicts
    distinct = _without_repetitions(_timely(rows, now=now, verdicts=verdicts), verdicts=verdicts)
    if distinct:
        _take_distinct(distinct, now=now, verdicts=verdicts, ready=ready)
    return verdicts


def _refused(row: Row, field: str, detail: str) -> Rejection:
    return Rejection(row[0], field, detail)


def _timely(rows: Sequence[Row], *, now: datetime, verdicts: Verdicts) -> Sequence[Row]:
    """The rows whose time is neither too far ahead nor older than anything that is kept."""
    latest = now + partitions.AHEAD
    earliest = minutes_from(now)
    times = list(map(_time_of, rows))
    if earliest <= min(times) and max(times) <= latest:
        return rows
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


def _without_repetitions(rows: Sequence[Row], *, verdicts: Verdicts) -> Sequence[Row]:
    if len(set(map(_id_of, rows))) == len(rows):
        return rows
    first: dict[str, Row] = {}
    for row in rows:
        known = first.setdefault(row[ID], row)
        if known is not row:
            verdicts.judge_known(row[0], known[CREATED_AT] == row[CREATED_AT])
    return list(first.values())


def _take_distinct(
    rows: Sequence[Row], *, now: datetime, verdicts: Verdicts, ready: Ready | None
) -> None:
    partitions.lock_hours(shared=True)
    hours = partitions.look_at_hours(partitions.hours_of(map(_time_of, rows)))
    # In the order of their ids, so that two transactions with the same rows do not deadlock.
    open_rows = sorted(_open(rows, hours, verdicts=verdicts), key=_id_of)
    arrived = _keep_new(open_rows, hours, now=now, verdicts=verdicts, ready=ready)
    verdicts.accepted += arrived.rows
    arrived.fold()


def _open(rows: Sequence[Row], hours: partitions.Hours, *, verdicts: Verdicts) -> Sequence[Row]:
    """The rows whose hour is not closed."""
    if not hours.closed:
        return rows
    found = []
    for row in rows:
        hour = partitions.hour_of(row[CREATED_AT])
        if hour in hours.closed:
            detail = f"is of the hour {hour.isoformat()}, which is closed"
            verdicts.rejected.append(_refused(row, "created_at", detail))
        else:
            found.append(row)
    return found


def _keep_new(
    rows: Sequence[Row],
    hours: partitions.Hours,
    *,
    now: datetime,
    verdicts: Verdicts,
    ready: Ready | None,
) -> Arrived:
    """Keeps the rows that are not known yet; what they come to.

    Rows are seldom known already, so their own hours are not looked through for them first: an id
    is unique within its hour, so the insert fails. Then it is undone, and the rows are looked for.
    The insert also waits for other transactions that bring in the same rows.
    """
    for look in (known_rows.in_hours_beside, known_rows.among_late_rows):
        rows = known_rows.without(look(rows, hours), rows, verdicts=verdicts)
    while rows:
        try:
            with transaction.atomic():
                return _kept(rows, hours, now=now, ready=ready)
        except UniqueViolation:
            known = known_rows.in_their_hours(rows, hours)
            if not known:
                raise
        rows = known_rows.without(known, rows, verdicts=verdicts)
    return Arrived(now)


def _kept(
    rows: Sequence[Row], hours: partitions.Hours, *, now: datetime, ready: Ready | None
) -> Arrived:
    """Keeps the rows, or of those that come late only their keys."""
    late = _late(rows, hours)
    if ready and not late and len(rows) == len(ready.rows):
        copied(TABLE, columns=COLUMNS, pieces=ready.pieces)
        return ready.arrived
    arrived = Arrived(now)
    missed = set(map(_id_of, late))
    kept = [row for row in rows if row[ID] not in missed] if late else rows
    if kept:
        copied(TABLE, columns=COLUMNS, pieces=_adding(kept, arrived, columns=_members_of))
    if late:
        keys = _adding(late, arrived, columns=_key_of)
        copied(LATE_ROWS, columns=["id", "created_at"], pieces=keys)
    return arrived


def _adding(
    rows: Iterable[Row], arrived: Arrived, *, columns: Callable[[Row], tuple[Any, ...]]
) -> Iterator[bytes]:
    """Those columns of the rows as text for COPY; each row is added as its text is made."""
    for piece in batched(rows, PIECE_ROWS):
        arrived.add(piece)
        yield csv_lines(map(columns, piece))


def _late(rows: Iterable[Row], hours: partitions.Hours) -> list[Row]:
    """The rows whose hour is no longer kept."""
    if hours.asked == hours.kept:
        return []
    return [row for row in rows if partitions.hour_of(row[CREATED_AT]) not in hours.kept]
