"""Keeping agent rows raw while their hour is, each once; of those that come late only the keys."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import batched
from operator import itemgetter
from typing import Any

from django.db import transaction
from psycopg.errors import UniqueViolation

from deployment.stats import known_rows
from deployment.stats.arriving import CREATED_AT, ID, Arrived
from deployment.stats.known_rows import LATE_ROWS
from deployment.stats.outcome import Verdicts
from deployment.stats.partitions import AGENT_STATS, Hours
from deployment.stats.rows import AGENT_MEMBERS, Row
from deployment.stats.staging import copied, csv_lines

TABLE = AGENT_STATS.name
COLUMNS = [member.name for member in AGENT_MEMBERS]
PIECE_ROWS = 500
_members_of, _key_of = itemgetter(slice(1, None)), itemgetter(ID, CREATED_AT)


@dataclass(frozen=True, slots=True)
class Made:
    """What rows come to, and their text for COPY."""

    arrived: Arrived
    pieces: list[bytes]


def make(rows: Iterable[Row], *, now: datetime) -> Made:
    """Does beforehand, perhaps in another thread, what new rows need and a database does not."""
    arrived = Arrived(now)
    return Made(arrived, list(_adding(rows, arrived, columns=_members_of)))


def keep_new(
    rows: Sequence[Row],
    hours: Hours,
    *,
    now: datetime,
    verdicts: Verdicts,
    made: Made | None = None,
) -> Arrived:
    """Keeps the rows that are not known yet, in the surrounding transaction; what they come to.

    They are in the order of their ids, so that two transactions with the same rows do not deadlock.
    Those of the same hour are seldom known already, so that hour is not looked through for them
    first: an id is unique within it, so the insert fails. Then it is undone, and they are looked
    for. The insert also waits for other transactions that bring in the same rows.
    """
    while rows:
        try:
            with transaction.atomic():
                return _kept(rows, hours, now=now, made=made)
        except UniqueViolation:
            known = known_rows.in_their_hours(rows, hours)
            if not known:
                raise
        rows = known_rows.without(known, rows, verdicts=verdicts)
    return Arrived(now)


def _kept(rows: Sequence[Row], hours: Hours, *, now: datetime, made: Made | None) -> Arrived:
    """Keeps the rows, or of those that come late only their keys."""
    kept, late = known_rows.kept_and_late(rows, hours)
    if made and not late and len(rows) == made.arrived.rows:
        copied(TABLE, columns=COLUMNS, pieces=made.pieces)
        return made.arrived
    arrived = Arrived(now)
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
