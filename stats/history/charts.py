"""Draws the charts of the timelines page in the admin."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from functools import partial
from itertools import pairwise, starmap

from django.utils.safestring import SafeString

from kernel.charts import BYTES, COUNT, MILLISECONDS, Chart, Series, Unit, render
from stats.applications import FAMILIES, application
from stats.history.points import Point, Range, even_range, points
from stats.models import DAY, HOUR, MINUTE, Snapshot
from stats.selectors import snapshot_interval
from stats.states import STATES
from stats.statistics import NO_SAMPLE

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
# The number of applications with a line of their own.
MAX_APPLICATIONS = 8
OTHERS = "other applications"

# The values of each line of a chart, by its label.
type Lines = dict[str, list[float | None]]


def charts(name: str, *, now: datetime) -> list[SafeString]:
    """Draws the charts of a range. `name` is one of the names in RANGES."""
    period = _range(name, now=now)
    found = points(period)
    markers = changes(found)

    # The bytes of an unfinished step would look like a fall beside those of other steps.
    has_others = any(map(_has_rows, found[:-1]))
    traffic = partial(_traffic, until=now - period.step if has_others else now)

    def draw(title: str, measure: str, unit: Unit, lines: Lines) -> SafeString:
        # Counts come from snapshots, so for counts a step without a snapshot is a gap. Traffic and
        # latency come from rollups, so they do not need a snapshot.
        gaps = [
            step
            for step, point in enumerate(found)
            if point.newest is None and (unit is COUNT or not _has_rows(point))
        ]
        series = list(starmap(Series, lines.items()))
        since, step = period.since, period.step
        return render(Chart(title, measure, unit, since, step, series, gaps=gaps, markers=markers))

    def lines(names: Iterable[str], value: Callable[[Point, str], float | None]) -> Lines:
        return {name: [value(point, name) for point in found] for name in names}

    return [
        draw("Workspaces by state", "every {step}, last value", COUNT, lines(STATES, _workspaces)),
        draw("Sessions by application", "every {step}, last value", COUNT, _sessions(found)),
        draw(
            "Connection latency",
            "to workspaces, every {step}",
            MILLISECONDS,
            lines(("p50", "p95"), _latency),
        ),
        draw("Traffic", "bytes every {step}", BYTES, lines(("received", "sent"), traffic)),
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


def _workspaces(point: Point, state: str) -> float | None:
    newest = point.newest
    return getattr(newest, state) if newest and newest.knows_state(state) else None


def _sessions(found: Iterable[Point]) -> Lines:
    """Returns a line for each of the applications with the most sessions, and one for the others.

    Without any session, the lines are those of the applications that every release of Coder counts.
    """
    newest = [point.newest for point in found]
    known = [each.session_counts if each and each.knows_sessions else None for each in newest]
    totals: Counter[str] = Counter(dict.fromkeys(FAMILIES, 0))
    for counts in known:
        totals.update(counts or {})
    names = sorted(totals, key=lambda name: (-totals[name], name))
    own, others = names[:MAX_APPLICATIONS], names[MAX_APPLICATIONS:]

    def line(names: Sequence[str]) -> list[float | None]:
        return [None if c is None else sum(c.get(name, 0) for name in names) for c in known]

    lines = {application(name).display_name: line([name]) for name in own}
    return lines | ({OTHERS: line(others)} if others else {})


def _latency(point: Point, name: str) -> float | None:
    """Returns None if no latency was measured, because 0 would look like a measurement."""
    latency: float = getattr(point, f"latency_{name}_ms")
    return None if latency == NO_SAMPLE else latency


def _traffic(point: Point, direction: str, *, until: datetime) -> float | None:
    if point.at > until or not (point.newest or _has_rows(point)):
        return None
    return point.rx_bytes if direction == "received" else point.tx_bytes


def _has_rows(point: Point) -> bool:
    return point.latency_p50_ms != NO_SAMPLE or bool(point.rx_bytes or point.tx_bytes)


def changes(found: Sequence[Point]) -> dict[int, str]:
    """Returns the changes of the build or the configuration. Shape: {number of the step: text}."""
    known = [
        (step, point.newest)
        for step, point in enumerate(found)
        if point.newest is not None
        and point.newest.workspaces_method == Snapshot.WorkspacesMethod.REPORTS
    ]
    return {
        step: text
        for (_, before), (step, after) in pairwise(known)
        if (text := _change(before, after))
    }


def _change(before: Snapshot, after: Snapshot) -> str:
    if before.buildinfo_version != after.buildinfo_version:
        return f"build {after.buildinfo_version}"
    if before.own_options_digest != after.own_options_digest:
        return "configuration changed"
    return ""
