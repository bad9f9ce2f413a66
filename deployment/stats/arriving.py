"""Folding of rows that arrive: added up here, so that the database adds sums and not rows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from operator import itemgetter
from typing import Any

from django.db import connection

from deployment.stats import folding
from deployment.stats.cells import EPOCH, MINUTE, floor
from deployment.stats.folding import SLICE, UNMEASURED, slices_from
from deployment.stats.percentiles import bucket_of
from deployment.stats.rows import AGENT_MEMBERS, Row
from deployment.stats.staging import array

FIVE_MINUTES = timedelta(minutes=5)
# Where a row, which begins with its number, has what is folded.
_PLACES = {member.name: place for place, member in enumerate(AGENT_MEMBERS, 1)}
ID, CREATED_AT, AGENT_ID = (_PLACES[name] for name in ("id", "created_at", "agent_id"))
LATENCY, USAGE = _PLACES["connection_median_latency_ms"], _PLACES["usage"]
RX, TX = _PLACES["rx_bytes"], _PLACES["tx_bytes"]
SESSIONS = [_PLACES[name] for name in folding.SESSION_COLUMNS]
_SLICE_SECONDS = SLICE.seconds
_newest_members = itemgetter(AGENT_ID, CREATED_AT, ID, *SESSIONS)

_MINUTES = """
SELECT * FROM unnest(%s::timestamptz[], %s::bigint[], %s::bigint[], %s::numeric[], %s::numeric[])
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


@dataclass(slots=True)
class _Sum:
    rows: int = 0
    rx_bytes: int = 0
    tx_bytes: int = 0

    def add(self, other: _Sum) -> None:
        self.rows += other.rows
        self.rx_bytes += other.rx_bytes
        self.tx_bytes += other.tx_bytes


@dataclass(slots=True)
class Arrived:
    """What rows come to: sums by slice and bucket, sessions of usage, each agent's newest row.

    Slices are known by their number from 1970 on. Rows of the future are set aside until their
    time has come.
    """

    now: datetime
    rows: int = 0
    cells: dict[tuple[float, int], _Sum] = field(default_factory=dict)
    usage: dict[tuple[str, datetime], list[int]] = field(default_factory=dict)
    newest: dict[str, Row] = field(default_factory=dict)
    ahead: list[Row] = field(default_factory=list)

    def adding(self, rows: Iterable[Row]) -> Iterator[Row]:
        """The rows, each of which is added as it is read."""
        for row in rows:
            self._add(row)
            yield row

    def _add(self, row: Row) -> None:
        self.rows += 1
        self._add_to_cell(row)
        if row[USAGE]:
            self._add_to_usage(row)
        if row[CREATED_AT] > self.now:
            self.ahead.append(row)
        elif _age(row) >= _age(self.newest.setdefault(row[AGENT_ID], row)):
            self.newest[row[AGENT_ID]] = row

    def _add_to_cell(self, row: Row) -> None:
        latency = row[LATENCY]
        key = (
            row[CREATED_AT].timestamp() // _SLICE_SECONDS,
            bucket_of(latency) if latency > 0 else UNMEASURED,
        )
        total = self.cells.get(key) or self.cells.setdefault(key, _Sum())
        total.rows += 1
        if latency > 0:
            total.rx_bytes += row[RX]
            total.tx_bytes += row[TX]

    def _add_to_usage(self, row: Row) -> None:
        key = row[AGENT_ID], floor(row[CREATED_AT], MINUTE)
        known = self.usage.get(key, [0] * len(SESSIONS))
        self.usage[key] = [n + row[place] for n, place in zip(known, SESSIONS, strict=True)]

    def fold(self) -> None:
        """Adds it all to what is known. All locks are taken in key order."""
        buckets = self._minutes()
        newest = sorted(self.newest.values(), key=lambda row: row[AGENT_ID])
        _add(folding.ADD_TO_MINUTES, _MINUTES, _sums(buckets))
        measured = ((*key, each.rows) for key, each in buckets.items() if key[1] != UNMEASURED)
        _add(folding.ADD_TO_BUCKETS, _BUCKETS, measured)
        _add(folding.ADD_TO_SLICES, _SLICES, self._slices())
        _add(folding.ADD_TO_USAGE, _USAGE, ((*key, *each) for key, each in self.usage.items()))
        spans = {floor(minute, FIVE_MINUTES) for minute, _ in buckets}
        _add(folding.MARK_STALE, _SPANS, ((span,) for span in spans))
        _add(folding.RAISE_NEWEST, _ROWS, map(_newest_members, newest))
        _add(folding.SET_ASIDE, _ROWS, map(_newest_members, self.ahead))

    def _minutes(self) -> dict[tuple[datetime, int], _Sum]:
        """The cells added up by minute and bucket."""
        found: dict[tuple[datetime, int], _Sum] = defaultdict(_Sum)
        for (number, bucket), cell in self.cells.items():
            found[floor(EPOCH + number * SLICE, MINUTE), bucket].add(cell)
        return found

    def _slices(self) -> Records:
        """The cells that are kept apart."""
        kept_from = slices_from(self.now)
        for (number, bucket), cell in self.cells.items():
            start = EPOCH + number * SLICE
            if start >= kept_from:
                yield start, bucket, cell.rows, cell.rx_bytes, cell.tx_bytes


def _sums(buckets: Mapping[tuple[datetime, int], _Sum]) -> Records:
    """Minutes with their rows, those of them that are measured, and their traffic."""
    totals: dict[datetime, _Sum] = defaultdict(_Sum)
    unmeasured: dict[datetime, int] = {}
    for (minute, bucket), each in buckets.items():
        totals[minute].add(each)
        if bucket == UNMEASURED:
            unmeasured[minute] = each.rows
    for minute, total in totals.items():
        measured = total.rows - unmeasured.get(minute, 0)
        yield minute, total.rows, measured, total.rx_bytes, total.tx_bytes


def _age(row: Row) -> tuple[datetime, str]:
    return row[CREATED_AT], row[ID]


def _add(statement: str, query: str, records: Records) -> None:
    """Runs the statement over the records, if there is one."""
    columns = [array(column) for column in zip(*records, strict=True)]
    if columns:
        with connection.cursor() as cursor:
            cursor.execute(statement.format(rows=query), columns)
