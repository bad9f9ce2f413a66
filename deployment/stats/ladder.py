"""The ladder of history: minutes are added up to 5 minutes, those to hours, and those to days.

A job builds the rungs of spans in which something has come. Spans that wait for it are read from
the rung below, so that what is read does not depend on when the job ran.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from django.db import connection, transaction

from deployment.stats.cells import Cell, Newest, floor, merged, minute_cells
from deployment.stats.folding import MARK_STALE, minutes_from
from deployment.stats.models import MinuteSum, Rung, StaleSpan

SECOND = timedelta(seconds=1)
FIVE_MINUTES = timedelta(minutes=5)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
FIGURES = [
    "row_count",
    "rx_bytes",
    "tx_bytes",
    "latency_histogram",
    "collected_at",
    "workspaces",
    "session_counts",
    "build_version",
    "configuration_hash",
]
SPANS = (FIVE_MINUTES, HOUR, DAY)


def cells(since: datetime, until: datetime, *, span: timedelta) -> list[Cell]:
    """A cell for each span of [since, until) of which anything is known. Both are even spans."""
    steps = [rung for rung in SPANS if span % rung == timedelta(0)]
    if not steps:
        return _ordered(merged(minute_cells(since, until), span=span).values())
    return _ordered(merged(_rung_cells(since, until, rung=len(steps) - 1), span=span).values())


def _ordered(found: Iterable[Cell]) -> list[Cell]:
    return sorted(found, key=lambda cell: cell.start)


def _rung_cells(since: datetime, until: datetime, *, rung: int) -> list[Cell]:
    """The cells of one rung: as they were built, and those that are stale from the rung below."""
    if rung < 0:
        return minute_cells(since, until)
    span = SPANS[rung]
    stale = StaleSpan.objects.filter(start__gte=since, start__lt=until)
    outdated = {floor(start, span) for start in stale.values_list("start", flat=True)}
    built = Rung.objects.filter(span=span // SECOND, start__gte=since, start__lt=until)
    found = [_cell(row) for row in built if row.start not in outdated]
    for start in outdated:
        below = _rung_cells(start, start + span, rung=rung - 1)
        found += merged(below, span=span).values()
    return found


def _cell(row: Rung) -> Cell:
    newest = None
    if row.collected_at is not None:
        newest = Newest(
            collected_at=row.collected_at,
            workspaces=row.workspaces,
            session_counts=row.session_counts,
            build_version=row.build_version,
            configuration_hash=row.configuration_hash,
        )
    histogram = {int(bucket): int(rows) for bucket, rows in row.latency_histogram}
    return Cell(row.start, row.row_count, int(row.rx_bytes), int(row.tx_bytes), histogram, newest)


def build_rungs(now: datetime) -> int:
    """Builds the rungs of spans that have ended and in which something came; how many."""
    with transaction.atomic():
        ended = StaleSpan.objects.filter(start__lte=now - FIVE_MINUTES)
        stale = list(ended.select_for_update(skip_locked=True).values_list("start", flat=True))
        StaleSpan.objects.filter(start__in=stale).delete()
        return sum(_build(stale, rung=rung, now=now) for rung in range(len(SPANS)))


def _build(stale: Iterable[datetime], *, rung: int, now: datetime) -> int:
    span = SPANS[rung]
    starts = {floor(start, span) for start in stale}
    below = (cell for start in starts for cell in _rung_cells(start, start + span, rung=rung - 1))
    rows = [_row(cell, span=span) for cell in merged(below, span=span).values()]
    # What was in it was taken back. Where minutes went by their age, the rung is all that is left.
    oldest = minutes_from(now)
    empty = [start for start in starts - {row.start for row in rows} if start >= oldest]
    Rung.objects.filter(span=span // SECOND, start__in=empty).delete()
    Rung.objects.bulk_create(
        rows,
        update_conflicts=True,
        unique_fields=["span", "start"],
        update_fields=FIGURES,
    )
    return len(rows)


def _row(cell: Cell, *, span: timedelta) -> Rung:
    row = Rung(
        span=span // SECOND,
        start=cell.start,
        row_count=cell.row_count,
        rx_bytes=cell.rx_bytes,
        tx_bytes=cell.tx_bytes,
        latency_histogram=sorted(map(list, cell.histogram.items())),
    )
    if cell.newest is not None:
        row.collected_at = cell.newest.collected_at
        row.workspaces = dict(cell.newest.workspaces)
        row.session_counts = dict(cell.newest.session_counts)
        row.build_version = cell.newest.build_version
        row.configuration_hash = cell.newest.configuration_hash
    return row


def built_for_good(moments: Iterable[datetime]) -> set[datetime]:
    """The five minutes among those of the moments whose rungs are all that is left of them."""
    starts = {floor(moment, FIVE_MINUTES) for moment in moments}
    if not starts:
        return set()
    built = Rung.objects.filter(span=FIVE_MINUTES // SECOND, start__in=starts, row_count__gt=0)
    minutes = MinuteSum.objects.filter(
        minute__gte=min(starts), minute__lt=max(starts) + FIVE_MINUTES
    )
    left = {floor(minute, FIVE_MINUTES) for minute in minutes.values_list("minute", flat=True)}
    return set(built.values_list("start", flat=True)) - left


def mark_stale(moment: datetime) -> None:
    """Notes that something came of that moment."""
    with connection.cursor() as cursor:
        cursor.execute(MARK_STALE.format(rows="SELECT %s"), [floor(moment, FIVE_MINUTES)])
