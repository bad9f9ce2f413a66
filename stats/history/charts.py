"""The page of timelines: a range of history as charts."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import NamedTuple

from django.utils.safestring import SafeString

from kernel.charts import BYTES, COUNT, MILLISECONDS, Chart, Series, Unit, render
from stats.figures import KINDS, STATES
from stats.history.points import DAY, Point, Range, even_range, points
from stats.models import Snapshot
from stats.rollups.hours import HOUR, MINUTE
from stats.rollups.percentiles import NO_SAMPLE, P50, P95
from stats.selectors import refresh_interval

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

type Read = Callable[[Point, Snapshot], float | None]


def charts(name: str, *, now: datetime) -> list[SafeString]:
    """Draws the charts of the range of that name, which is one of RANGES."""
    asked = range_of(name, now=now)
    found = points(asked)
    gaps = [step for step, point in enumerate(found) if point.newest is None]
    markers = changes(found)
    return [
        render(
            Chart(
                title=figures.title,
                measure=figures.measure,
                unit=figures.unit,
                start=asked.since,
                step=asked.step,
                series=[Series(name, _values(read, found)) for name, read in figures.lines.items()],
                gaps=gaps,
                markers=markers,
            )
        )
        for figures in _CHARTS
    ]


def range_of(name: str, *, now: datetime) -> Range:
    length, step = RANGES[name]
    # Steps shorter than the time between snapshots would be gaps and nothing else.
    while step < refresh_interval():
        step *= 2
    return even_range(now - length, now, step=step)


def _state(name: str) -> Read:
    """Reads a state. A backfilled snapshot knows which workspaces ran, and of others nothing."""
    return lambda _, newest: (
        None
        if newest.source == Snapshot.Source.BACKFILL and name != "running"
        else getattr(newest, name)
    )


def _kind(name: str) -> Read:
    return lambda _, newest: newest.session_counts.get(name, 0)


def _percentile(fraction: float) -> Read:
    """Reads a percentile, or None where nothing was measured: a latency of 0 would be a lie."""
    return lambda point, _: None if (p := point.percentile(fraction)) == NO_SAMPLE else p


class Figures(NamedTuple):
    """A chart: its title, the measure and unit of its values, and its lines by name."""

    title: str
    measure: str
    unit: Unit
    lines: dict[str, Read]


_CHARTS = (
    Figures("Workspaces by state", "workspaces", COUNT, {state: _state(state) for state in STATES}),
    Figures("Sessions by kind", "sessions", COUNT, {kind: _kind(kind) for kind in KINDS}),
    Figures(
        "Connection latency",
        "of connections to workspaces",
        MILLISECONDS,
        {"p50": _percentile(P50), "p95": _percentile(P95)},
    ),
    Figures(
        "Traffic",
        "bytes in {step}",
        BYTES,
        {"received": lambda point, _: point.rx_bytes, "sent": lambda point, _: point.tx_bytes},
    ),
)


def _values(read: Read, found: Sequence[Point]) -> list[float | None]:
    return [None if point.newest is None else read(point, point.newest) for point in found]


def changes(found: Sequence[Point]) -> dict[int, str]:
    """Tells, by step, where the build or the configuration is another than in the one before."""
    known = [
        (step, point.newest)
        for step, point in enumerate(found)
        if point.newest is not None and point.newest.source != Snapshot.Source.BACKFILL
    ]
    return {
        step: text
        for (_, before), (step, after) in itertools.pairwise(known)
        if (text := _change(before, after))
    }


def _change(before: Snapshot, after: Snapshot) -> str:
    if before.build_version != after.build_version:
        return f"build {after.build_version}"
    if before.configuration_hash != after.configuration_hash:
        return "configuration changed"
    return ""
