"""Draws the charts of the timelines page in the admin."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from datetime import datetime

from django.utils.safestring import SafeString

from kernel.charts import BYTES, COUNT, MILLISECONDS, Chart, Series, Unit, render
from stats.history.points import DAY, Point, Range, even_range, points
from stats.models import Snapshot
from stats.rollups.hours import HOUR, MINUTE
from stats.selectors import snapshot_interval
from stats.statistics import KINDS, NO_SAMPLE, STATES

# The length and the shortest step of each range.
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
    """Draws the charts of a range. `name` is one of the names in RANGES."""
    period = _range(name, now=now)
    found = points(period)
    markers = changes(found)

    def draw(title: str, measure: str, unit: Unit, lines: dict[str, Read]) -> SafeString:
        # Counts come from snapshots, so for counts a step without a snapshot is a gap. Traffic and
        # latency come from rollups, so they do not need a snapshot.
        is_gap = _has_no_snapshot if unit is COUNT else _has_nothing
        return render(
            Chart(
                title,
                measure,
                unit,
                period.since,
                period.step,
                [Series(label, list(map(read, found))) for label, read in lines.items()],
                gaps=[step for step, point in enumerate(found) if is_gap(point)],
                markers=markers,
            )
        )

    states = {state: _state(state) for state in STATES}
    kinds = {kind: _kind(kind) for kind in KINDS}
    latency = {name: _latency(f"latency_{name}") for name in ("p50", "p95")}
    traffic = {"received": _sum("rx_bytes"), "sent": _sum("tx_bytes")}
    return [
        draw("Workspaces by state", "every {step}, last value", COUNT, states),
        draw("Sessions by kind", "every {step}, last value", COUNT, kinds),
        draw("Connection latency", "to workspaces, every {step}", MILLISECONDS, latency),
        draw("Traffic", "bytes every {step}", BYTES, traffic),
    ]


def _range(name: str, *, now: datetime) -> Range:
    """Returns the range. Its steps are not shorter than the interval between its snapshots."""
    length, step = RANGES[name]
    # Read the snapshots of twice the length, because the range alone may have too few snapshots
    # to find their interval.
    shortest = max(step, snapshot_interval(now - 2 * length, now))
    whole_days = -(-shortest // DAY) * DAY
    step = next((step for _, step in RANGES.values() if step >= shortest), whole_days)
    return even_range(now - length, now, step=step)


def _state(name: str) -> Read:
    """Returns a function that reads the number of workspaces in a state.

    The function returns None if the number is unknown.
    """

    def read(point: Point) -> float | None:
        newest = point.newest
        return float(getattr(newest, name)) if newest and newest.knows_state(name) else None

    return read


def _kind(name: str) -> Read:
    def read(point: Point) -> float | None:
        newest = point.newest
        return newest.session_counts.get(name, 0) if newest and newest.knows_sessions else None

    return read


def _latency(name: str) -> Read:
    """Returns a function that reads a percentile of latency.

    The function returns None if no latency was measured, because 0 would look like a measurement.
    """
    return lambda point: None if (p := getattr(point, name)) == NO_SAMPLE else p


def _sum(name: str) -> Read:
    return lambda point: None if _has_nothing(point) else getattr(point, name)


def _has_no_snapshot(point: Point) -> bool:
    return point.newest is None


def _has_nothing(point: Point) -> bool:
    return point.newest is None and point.latency_p50 == NO_SAMPLE


def changes(found: Sequence[Point]) -> dict[int, str]:
    """Returns the changes of the build or the configuration. Shape: {number of the step: text}."""
    known = [
        (step, point.newest)
        for step, point in enumerate(found)
        if point.newest is not None and point.newest.source == Snapshot.Source.REPORTS
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
