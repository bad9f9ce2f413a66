"""Takes in agent rows: each is kept once, and its minute is marked for the builder.

New rows go by COPY straight into their partitions. Only where one of them turns out to be known,
they go through a temporary table first, which takes half as long again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from itertools import batched
from operator import itemgetter

import orjson
from django.conf import settings
from django.db import connection, transaction
from psycopg.errors import UniqueViolation

from stats.ingest.rows import AGENT_MEMBERS, Rejection, Row, Verdicts
from stats.rollups.hours import (
    AHEAD,
    EARLIEST,
    MAX_OLD_HOURS,
    closed_among,
    ensure_hours,
    hour_of,
    lock_open,
    mark_stale,
)

_COLUMNS = ", ".join(member.name for member in AGENT_MEMBERS)
# A row begins with its number, and goes on with its members.
ID, CREATED_AT = 1, 2
_key_of, _members_of = itemgetter(CREATED_AT, ID), itemgetter(slice(1, None))
PIECE_ROWS = 1_000

_COPY = f"COPY {{table}} ({_COLUMNS}) FROM STDIN (FORMAT csv, ESCAPE '\\')"
_STAGE = """
CREATE TEMPORARY TABLE arriving_agent_stats (LIKE stats_agentstat) ON COMMIT DROP
"""
# In the order of the key, so that two transactions with the same rows do not deadlock.
_INSERT = f"""
WITH kept AS (
    INSERT INTO stats_agentstat ({_COLUMNS})
    SELECT {_COLUMNS} FROM arriving_agent_stats ORDER BY created_at, id
    ON CONFLICT DO NOTHING RETURNING created_at
)
SELECT date_trunc('minute', created_at, 'UTC'), count(*) FROM kept GROUP BY 1
"""  # noqa: S608 - the names are constants of this package


@dataclass(frozen=True, slots=True)
class AgentRows:
    """Good rows in the order of their key, as text for COPY, how many a minute has, and hours."""

    rows: Sequence[Row]
    text: Sequence[bytes]
    minutes: Counter[datetime]
    hours: set[datetime]


def agent_rows(rows: Iterable[Row]) -> AgentRows:
    """Does with the rows what needs no database, so that another thread can do it."""
    ordered = sorted(rows, key=_key_of)
    minutes = Counter(row[CREATED_AT].replace(second=0, microsecond=0) for row in ordered)
    return AgentRows(ordered, list(_csv(ordered)), minutes, set(map(hour_of, minutes)))


def _csv(rows: Sequence[Row]) -> Iterator[bytes]:
    """Yields the rows as COPY takes them. None of the values is None.

    A JSON array without its brackets is a line of CSV, once a backslash is what escapes.
    """
    for some in batched(map(_members_of, rows), PIECE_ROWS):
        yield b"".join([orjson.dumps(row)[1:-1] + b"\n" for row in some])


def prepare(found: AgentRows, *, now: datetime) -> tuple[AgentRows, Verdicts]:
    """Refuses rows of times that are never kept, and makes the partitions of the others.

    Runs outside the transaction that keeps the rows.
    """
    if not settings.STATS_USAGE_ENABLED:
        return _sifted(found, lambda _: "agent rows are switched off", field="kind")
    verdicts = Verdicts()
    # They are in the order of time, so the first and the last tell of all.
    if any(_untimely(row[CREATED_AT], now=now) for row in [*found.rows[:1], *found.rows[-1:]]):
        found, verdicts = _sifted(found, partial(_untimely, now=now))
    ensure_hours(found.hours, now=now)
    return found, verdicts


def _untimely(moment: datetime, *, now: datetime) -> str:
    if moment > now + AHEAD:
        return f"is more than {AHEAD} ahead of {now.isoformat()}"
    retention = settings.STATS_RETENTION
    oldest = max(EARLIEST, now - retention) if retention else EARLIEST
    return (
        f"is before {oldest.isoformat()}, and nothing that old is kept" if moment < oldest else ""
    )


def _sifted(
    found: AgentRows, fault_of: Callable[[datetime], str], *, field: str = "created_at"
) -> tuple[AgentRows, Verdicts]:
    """Returns the rows whose time has no fault, and the others as rejected."""
    good, rejected = [], []
    for row in found.rows:
        if fault := fault_of(row[CREATED_AT]):
            rejected.append(Rejection(row[0], field, fault))
        else:
            good.append(row)
    return agent_rows(good), Verdicts(rejected=rejected)


def keep(found: AgentRows) -> Verdicts:
    """Keeps each new row of an open hour, after `prepare`, in the surrounding transaction."""
    verdicts = Verdicts()
    open_hours = lock_open(found.hours)
    if open_hours != found.hours:
        found, verdicts = _sifted(found, partial(_unplaced, open_hours=open_hours))
    if found.rows:
        accepted = _copied(found) or _inserted(found)
        mark_stale(accepted)
        verdicts.accepted = accepted.total()
        verdicts.duplicate = len(found.rows) - verdicts.accepted
    return verdicts


def _unplaced(moment: datetime, *, open_hours: set[datetime]) -> str:
    hour = hour_of(moment)
    if hour in open_hours:
        return ""
    if closed_among([hour]):
        return f"is of the hour {hour.isoformat()}, which is closed: its rows were dropped"
    return f"finds no room: {MAX_OLD_HOURS} hours of the past are open; come again in a day"


def _copied(found: AgentRows) -> Counter[datetime] | None:
    """Copies the rows, all of them or none. Returns their number by minute if all are new."""
    try:
        with transaction.atomic():
            _copy(found, "stats_agentstat")
    except UniqueViolation:
        return None
    return found.minutes


def _copy(found: AgentRows, table: str) -> None:
    with connection.cursor() as cursor, cursor.copy(_COPY.format(table=table)) as copy:
        for piece in found.text:
            copy.write(piece)


def _inserted(found: AgentRows) -> Counter[datetime]:
    """Keeps the rows that are new. Returns their number by minute."""
    with connection.cursor() as cursor:
        cursor.execute(_STAGE)
        _copy(found, "arriving_agent_stats")
        cursor.execute(_INSERT)
        kept = Counter(dict(cursor.fetchall()))
        cursor.execute("DROP TABLE arriving_agent_stats")
        return kept
