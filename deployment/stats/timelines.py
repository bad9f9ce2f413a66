"""The page of timelines: what it shows of a range of history."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from django.utils.safestring import SafeString

from deployment.stats.cells import MINUTE, STATES, Cell, Newest
from deployment.stats.figures import KINDS, P50, P95
from deployment.stats.history import Point, Range, even_range, points
from deployment.stats.percentiles import NO_SAMPLE
from deployment.stats.selectors import refresh_interval
from deployment.stats.timeline import Marker, Series, legend, timeline

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
# How far back a page looks, and in which steps.
RANGES = {
    "1h": (HOUR, MINUTE),
    "6h": (6 * HOUR, 5 * MINUTE),
    "1d": (DAY, 15 * MINUTE),
    "7d": (7 * DAY, HOUR),
    "30d": (30 * DAY, 6 * HOUR),
    "90d": (90 * DAY, DAY),
    "1y": (365 * DAY, DAY),
}
DEFAULT_RANGE = "1d"


@dataclass(frozen=True, slots=True)
class Chart:
    """A timeline, its legend, and the same figures as a table, newest first."""

    title: str
    drawing: SafeString
    legend: SafeString
    columns: list[str]
    rows: list[Step]


@dataclass(frozen=True, slots=True)
class Step:
    """A line of the table. In a gap, and of what was not measured, there is no value."""

    at: datetime
    is_gap: bool
    values: list[float | None]


type Read = Callable[[Cell, Newest], float | None]


def charts(name: str, *, now: datetime) -> list[Chart]:
    """The charts of the range of that name, which is one of RANGES."""
    found = points(range_of(name, now=now))
    markers = changes(found)
    return [_chart(figures, found, markers=markers) for figures in _CHARTS]


def range_of(name: str, *, now: datetime) -> Range:
    length, step = RANGES[name]
    # Steps shorter than the time between snapshots would be gaps and nothing else.
    while step < refresh_interval():
        step *= 2
    return even_range(now - length, now, step=step)


def _state(name: str) -> Read:
    return lambda cell, newest: newest.workspaces.get(name, 0)


def _kind(name: str) -> Read:
    return lambda cell, newest: newest.session_counts.get(name, 0)


def _percentile(cell: Cell, fraction: float) -> float | None:
    """The percentile, or None where nothing was measured: a latency of 0 would be a lie."""
    found = cell.percentile(fraction)
    return None if found == NO_SAMPLE else found


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _milliseconds(value: float) -> str:
    return f"{_number(value)} ms"


def _bytes(value: float) -> str:
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if value < 1024:
            return f"{_number(value)} {unit}"
        value /= 1024
    return f"{_number(value)} PiB"


class Figures(NamedTuple):
    """What a chart is of: its lines, and how a figure is written on its scale."""

    title: str
    lines: dict[str, Read]
    shown: Callable[[float], str]


_CHARTS = (
    Figures("Workspaces by state", {state: _state(state) for state in STATES}, _number),
    Figures("Sessions by kind", {kind: _kind(kind) for kind in KINDS}, _number),
    Figures(
        "Connection latency in milliseconds",
        {
            "p50": lambda cell, _: _percentile(cell, P50),
            "p95": lambda cell, _: _percentile(cell, P95),
        },
        _milliseconds,
    ),
    Figures(
        "Traffic in bytes a step",
        {"received": lambda cell, _: cell.rx_bytes, "sent": lambda cell, _: cell.tx_bytes},
        _bytes,
    ),
)


def _chart(figures: Figures, found: Sequence[Point], *, markers: Sequence[Marker]) -> Chart:
    lines, title = figures.lines, figures.title
    series = [
        Series(name, [_value(read, point.cell) for point in found]) for name, read in lines.items()
    ]
    rows = zip(*(one.values for one in series), strict=True)
    gaps = [step for step, point in enumerate(found) if _is_gap(point)]
    return Chart(
        title=title,
        drawing=timeline(
            series,
            title=title,
            moments=[point.at for point in found],
            shown=figures.shown,
            gaps=gaps,
            markers=markers,
        ),
        legend=legend(series),
        columns=list(lines),
        rows=[
            Step(point.at, _is_gap(point), list(row))
            for point, row in zip(found, rows, strict=True)
        ][::-1],
    )


def _is_gap(point: Point) -> bool:
    return point.cell is None or point.cell.newest is None


def _value(read: Read, cell: Cell | None) -> float | None:
    return None if cell is None or cell.newest is None else read(cell, cell.newest)


def changes(found: Sequence[Point]) -> list[Marker]:
    """Where the build or the configuration is another than in the snapshot before."""
    known = [
        (step, point.cell.newest)
        for step, point in enumerate(found)
        if point.cell is not None and point.cell.newest is not None
    ]
    return [
        Marker(step, text)
        for (_, before), (step, after) in itertools.pairwise(known)
        if (text := _change(before, after))
    ]


def _change(before: Newest, after: Newest) -> str:
    if before.build_version != after.build_version:
        return f"build {after.build_version}"
    if before.configuration_hash != after.configuration_hash:
        return "configuration changed"
    return ""
