"""The page of timelines: a range of history as charts."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from datetime import datetime

from django.utils.safestring import SafeString

from kernel.charts import BYTES, COUNT, MILLISECONDS, Chart, Series, Unit, render
from stats.figures import KINDS, NO_SAMPLE, P50, P95, STATES
from stats.history.points import DAY, Point, Range, even_range, points
from stats.models import Snapshot
from stats.rollups.hours import HOUR, MINUTE
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

type Read = Callable[[Point], float | None]


def charts(name: str, *, now: datetime) -> list[SafeString]:
    """Draws the charts of the range of that name, which is one of RANGES."""
    asked = range_of(name, now=now)
    found = points(asked)
    markers = changes(found)

    def drawn(title: str, measure: str, unit: Unit, lines: dict[str, Read]) -> SafeString:
        # Counts are those of snapshots. Of rows, something may be known without one.
        is_gap = _has_no_snapshot if unit is COUNT else _has_nothing
        return render(
            Chart(
                title,
                measure,
                unit,
                asked.since,
                asked.step,
                [Series(name, list(map(read, found))) for name, read in lines.items()],
                gaps=[step for step, point in enumerate(found) if is_gap(point)],
                markers=markers,
            )
        )

    states, kinds = (
        {state: _state(state) for state in STATES},
        {kind: _kind(kind) for kind in KINDS},
    )
    latency = {"p50": _percentile(P50), "p95": _percentile(P95)}
    traffic = {"received": _sum("rx_bytes"), "sent": _sum("tx_bytes")}
    return [
        drawn("Workspaces by state", "at the end of {step}", COUNT, states),
        drawn("Sessions by kind", "at the end of {step}", COUNT, kinds),
        drawn(
            "Connection latency", "of connections to workspaces in {step}", MILLISECONDS, latency
        ),
        drawn("Traffic", "bytes in {step}", BYTES, traffic),
    ]


def range_of(name: str, *, now: datetime) -> Range:
    length, step = RANGES[name]
    # Steps shorter than the time between snapshots would be gaps and nothing else.
    while step < refresh_interval():
        step *= 2
    return even_range(now - length, now, step=step)


def _state(name: str) -> Read:
    """Reads a state. A backfilled snapshot knows which workspaces ran, and of others nothing."""

    def read(point: Point) -> float | None:
        newest = point.newest
        if newest is None or (newest.source == Snapshot.Source.BACKFILL and name != "running"):
            return None
        return float(getattr(newest, name))

    return read


def _kind(name: str) -> Read:
    return lambda point: point.newest.session_counts.get(name, 0) if point.newest else None


def _percentile(fraction: float) -> Read:
    """Reads a percentile, or None where nothing was measured: a latency of 0 would be a lie."""
    return lambda point: None if (p := point.percentile(fraction)) == NO_SAMPLE else p


def _sum(name: str) -> Read:
    return lambda point: None if _has_nothing(point) else getattr(point, name)


def _has_no_snapshot(point: Point) -> bool:
    return point.newest is None


def _has_nothing(point: Point) -> bool:
    return point.newest is None and not point.histogram


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
