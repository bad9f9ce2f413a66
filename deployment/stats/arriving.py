"""Folding of rows that arrive: added up here, so that the database adds sums and not rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.db import connection

from deployment.stats import folding
from deployment.stats.cells import floor
from deployment.stats.percentiles import bucket_of
from deployment.stats.rows import AGENT_MEMBERS
from deployment.stats.staging import array

FIVE_MINUTES = timedelta(minutes=5)
# Where a row, which begins with its number, has what is folded.
_PLACES = {member.name: place for place, member in enumerate(AGENT_MEMBERS, 1)}
ID, CREATED_AT, AGENT_ID = (_PLACES[name] for name in ("id", "created_at", "agent_id"))
LATENCY = _PLACES["connection_median_latency_ms"]
RX, TX = _PLACES["rx_bytes"], _PLACES["tx_bytes"]
SESSIONS = [_PLACES[name] for name in folding.SESSION_COLUMNS]
_NEWEST_COLUMNS = [AGENT_ID, CREATED_AT, ID, *SESSIONS]

_MINUTES = """
SELECT * FROM unnest(%s::timestamptz[], %s::bigint[], %s::bigint[], %s::numeric[], %s::numeric[])
"""
_BUCKETS = "SELECT * FROM unnest(%s::timestamptz[], %s::integer[], %s::bigint[])"
_SPANS = "SELECT unnest(%s::timestamptz[])"
_ROWS = f"""
SELECT * FROM unnest(%s::uuid[], %s::timestamptz[], %s::uuid[]{len(SESSIONS) * ", %s::bigint[]"})
AS arrived (agent_id, created_at, id, {", ".join(folding.SESSION_COLUMNS)})
"""  # noqa: S608 - the names are constants of this package

type Row = Sequence[Any]


@dataclass(slots=True)
class _Sum:
    rows: int = 0
    measured: int = 0
    rx_bytes: int = 0
    tx_bytes: int = 0


@dataclass(slots=True)
class Arrived:
    """What rows come to: sums by minute, rows by minute and bucket, each agent's newest row.

    Rows of the future are set aside until their time has come.
    """

    minutes: dict[datetime, _Sum] = field(default_factory=dict)
    buckets: Counter[tuple[datetime, int]] = field(default_factory=Counter)
    newest: dict[str, Row] = field(default_factory=dict)
    ahead: list[Row] = field(default_factory=list)

    def add(self, rows: Iterable[Row], *, now: datetime) -> None:
        for row in rows:
            self._add_to_minute(row)
            if row[CREATED_AT] > now:
                self.ahead.append(row)
            elif _age(row) >= _age(self.newest.setdefault(row[AGENT_ID], row)):
                self.newest[row[AGENT_ID]] = row

    def _add_to_minute(self, row: Row) -> None:
        minute = row[CREATED_AT].replace(second=0, microsecond=0)
        total = self.minutes.get(minute) or self.minutes.setdefault(minute, _Sum())
        total.rows += 1
        if row[LATENCY] > 0:
            total.measured += 1
            total.rx_bytes += row[RX]
            total.tx_bytes += row[TX]
            self.buckets[minute, bucket_of(row[LATENCY])] += 1

    def fold(self) -> None:
        """Adds it all to what is known. All locks are taken in key order."""
        spans = {floor(minute, FIVE_MINUTES) for minute in self.minutes}
        newest = sorted(self.newest.values(), key=lambda row: row[AGENT_ID])
        with connection.cursor() as cursor:
            cursor.execute(folding.ADD_TO_MINUTES.format(rows=_MINUTES), self._sums())
            if self.buckets:
                cursor.execute(folding.ADD_TO_BUCKETS.format(rows=_BUCKETS), self._counts())
            cursor.execute(folding.MARK_STALE.format(rows=_SPANS), [array(spans)])
            if newest:
                cursor.execute(folding.RAISE_NEWEST.format(rows=_ROWS), _columns(newest))
            if self.ahead:
                cursor.execute(folding.SET_ASIDE.format(rows=_ROWS), _columns(self.ahead))

    def _sums(self) -> list[str]:
        sums = self.minutes.values()
        return [
            array(self.minutes),
            array(each.rows for each in sums),
            array(each.measured for each in sums),
            array(each.rx_bytes for each in sums),
            array(each.tx_bytes for each in sums),
        ]

    def _counts(self) -> list[str]:
        minutes, buckets = zip(*self.buckets, strict=True)
        return [array(minutes), array(buckets), array(self.buckets.values())]


def _age(row: Row) -> tuple[datetime, str]:
    return row[CREATED_AT], row[ID]


def _columns(rows: Sequence[Row]) -> list[str]:
    return [array(row[place] for row in rows) for place in _NEWEST_COLUMNS]
