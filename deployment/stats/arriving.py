"""Folding of rows that arrive: added up here, so that the database adds sums and not rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from operator import itemgetter
from typing import Any, Final

from django.db import connection

from deployment.stats import folding
from deployment.stats.cells import EPOCH, MINUTE, floor
from deployment.stats.folding import SLICE, UNMEASURED, slices_from
from deployment.stats.ladder import FIVE_MINUTES
from deployment.stats.percentiles import bucket_of
from deployment.stats.rows import AGENT_MEMBERS, Row
from deployment.stats.staging import array

# Where a row, which begins with its number, has what is folded.
_PLACES = {member.name: place for place, member in enumerate(AGENT_MEMBERS, 1)}
ID, CREATED_AT, AGENT_ID = (_PLACES[name] for name in ("id", "created_at", "agent_id"))
LATENCY, USAGE = _PLACES["connection_median_latency_ms"], _PLACES["usage"]
RX, TX = _PLACES["rx_bytes"], _PLACES["tx_bytes"]
SESSIONS = [_PLACES[name] for name in folding.SESSION_COLUMNS]
_SLICE_SECONDS = SLICE.seconds
_newest_members = itemgetter(AGENT_ID, CREATED_AT, ID, *SESSIONS)
_time_of, _age = itemgetter(CREATED_AT), itemgetter(CREATED_AT, ID)

_MINUTES = """
SELECT * FROM unnest(
    %s::timestamptz[], %s::bigint[], %s::bigint[], %s::bigint[], %s::numeric[], %s::numeric[]
)
"""
_BUCKETS = "SELECT * FROM unnest(%s::timestamptz[], %s::integer[], %s::bigint[])"
_SLICES = """
SELECT * FROM unnest(%s::timestamptz[], %s::integer[], %s::bigint[], %s::numeric[], %s::numeric[])
"""
_USAGE = f"""
SELECT * FROM unnest(%s::uuid[], %s::timestamptz[]{len(SESSIONS) * ", %s::numeric[]"})
"""  # noqa: S608 - the names are constants of this package
_SPANS = "SELECT unnest(%s::timestamptz[])"
_ROWS = f"""
SELECT * FROM unnest(%s::uuid[], %s::timestamptz[], %s::uuid[]{len(SESSIONS) * ", %s::bigint[]"})
AS arrived (agent_id, created_at, id, {", ".join(folding.SESSION_COLUMNS)})
"""  # noqa: S608 - the names are constants of this package

type Records = Iterable[Sequence[Any]]


# Rows, and what those of them with a measured latency received and sent.
type Sum = list[int]
NOTHING: Final[Sum] = [0, 0, 0]
NO_SESSIONS: Final = [0] * len(SESSIONS)


@dataclass(slots=True)
class Arrived:
    """What rows come to: sums by slice and bucket, sessions of usage, each agent's newest row.

    Slices are known by their number from 1970 on. Rows of the future are set aside until their
    time has come.
    """

    now: datetime
    rows: int = 0
    cells: dict[tuple[float, int], Sum] = field(default_factory=dict)
    usage: dict[tuple[str, datetime], list[int]] = field(default_factory=dict)
    newest: dict[str, Row] = field(default_factory=dict)
    ahead: list[Row] = field(default_factory=list)

    def add(self, rows: Iterable[Row]) -> None:
        """Adds rows, which come in the order of their ids: in one loop, for it is run most."""
        cells, newest = self.cells, self.newest
        for row in rows:
            self.rows += 1
            created_at, latency, agent = row[CREATED_AT], row[LATENCY], row[AGENT_ID]
            measured = latency > 0
            key = (
                created_at.timestamp() // _SLICE_SECONDS,
                bucket_of(latency) if measured else UNMEASURED,
            )
            cell = cells.get(key) or cells.setdefault(key, [0, 0, 0])
            cell[0] += 1
            if measured:
                cell[1] += row[RX]
                cell[2] += row[TX]
            if row[USAGE]:
                self._add_to_usage(row)
            if created_at > self.now:
                self.ahead.append(row)
            # Of the same time, the greatest id is the newest, and that one comes last.
            elif agent not in newest or created_at >= newest[agent][CREATED_AT]:
                newest[agent] = row

    def _add_to_usage(self, row: Row) -> None:
        key = row[AGENT_ID], floor(row[CREATED_AT], MINUTE)
        sessions = [row[place] for place in SESSIONS]
        self.usage[key] = _added(self.usage.get(key, NO_SESSIONS), sessions)

    def join(self, other: Arrived) -> None:
        """Adds what other rows come to."""
        self.rows += other.rows
        for key, cell in other.cells.items():
            self.cells[key] = _added(self.cells.get(key, NOTHING), cell)
        for minute, sessions in other.usage.items():
            self.usage[minute] = _added(self.usage.get(minute, NO_SESSIONS), sessions)
        self._raise_newest(other.newest)
        self.ahead += other.ahead

    def _raise_newest(self, others: Mapping[str, Row]) -> None:
        if _are_all_older(self.newest, others):
            self.newest |= others
        else:
            for agent, row in others.items():
                known = self.newest.get(agent)
                if known is None or _age(row) > _age(known):
                    self.newest[agent] = row

    def taken_back(self) -> Arrived:
        """What takes these rows out of all sums again. It says nothing of what is newest."""
        cells = {key: [-n for n in cell] for key, cell in self.cells.items()}
        usage = {key: [-n for n in sessions] for key, sessions in self.usage.items()}
        return Arrived(self.now, -self.rows, cells, usage)

    def fold(self) -> None:
        """Adds it all to what is known. All locks are taken in key order."""
        buckets = self._minutes()
        newest = sorted(self.newest.values(), key=lambda row: row[AGENT_ID])
        _add(folding.ADD_TO_MINUTES, _MINUTES, self._sums(buckets))
        measured = ((*key, each[0]) for key, each in buckets.items() if key[1] != UNMEASURED)
        _add(folding.ADD_TO_BUCKETS, _BUCKETS, measured)
        _add(folding.ADD_TO_SLICES, _SLICES, self._slices())
        _add(folding.ADD_TO_USAGE, _USAGE, ((*key, *each) for key, each in self.usage.items()))
        spans = {floor(minute, FIVE_MINUTES) for minute, _ in buckets}
        _add(folding.MARK_STALE, _SPANS, ((span,) for span in spans))
        _add(folding.RAISE_NEWEST, _ROWS, map(_newest_members, newest))
        _add(folding.SET_ASIDE, _ROWS, map(_newest_members, self.ahead))

    def _minutes(self) -> dict[tuple[datetime, int], Sum]:
        """The cells added up by minute and bucket."""
        found: dict[tuple[datetime, int], Sum] = {}
        for (number, bucket), cell in self.cells.items():
            key = floor(slice_start(number), MINUTE), bucket
            found[key] = _added(found.get(key, NOTHING), cell)
        return found

    def _sums(self, buckets: Mapping[tuple[datetime, int], Sum]) -> Records:
        """Minutes: their rows, how many are sliced, how many measured, and the traffic."""
        totals: dict[datetime, Sum] = {}
        for (minute, _), each in buckets.items():
            totals[minute] = _added(totals.get(minute, NOTHING), each)
        for minute, (rows, *traffic) in totals.items():
            unmeasured, *_ = buckets.get((minute, UNMEASURED), NOTHING)
            sliced = rows if minute >= slices_from(self.now) else 0
            yield minute, rows, sliced, rows - unmeasured, *traffic

    def _slices(self) -> Records:
        """The cells that are kept apart."""
        kept_from = slices_from(self.now)
        for (number, bucket), cell in self.cells.items():
            start = slice_start(number)
            if start >= kept_from:
                yield start, bucket, *cell


def _are_all_older(rows: Mapping[str, Row], others: Mapping[str, Row]) -> bool:
    """Whether it is so, which is mostly the case and soon seen."""
    if not (rows and others):
        return True
    latest: datetime = max(map(_time_of, rows.values()))
    earliest: datetime = min(map(_time_of, others.values()))
    return latest < earliest


def slice_start(number: float) -> datetime:
    return EPOCH + number * SLICE


def _added(one: list[int], other: list[int]) -> list[int]:
    return [a + b for a, b in zip(one, other, strict=True)]


def _add(statement: str, query: str, records: Records) -> None:
    """Runs the statement over the records, if there is one."""
    columns = [array(column) for column in zip(*records, strict=True)]
    if columns:
        with connection.cursor() as cursor:
            cursor.execute(statement.format(rows=query), columns)
