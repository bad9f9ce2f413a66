"""Reading history: snapshots of the past, and evenly spaced points with their gaps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from deployment.stats import folding, ladder
from deployment.stats.cells import EPOCH, MINUTE, Cell, floor
from deployment.stats.figures import MOST, P50, P95
from deployment.stats.rows import moment
from deployment.stats.selectors import refresh_interval
from kernel.durations import parse_duration
from kernel.http.errors import Validation, invalid

MOST_POINTS = 2_000
DEFAULT_SPAN = timedelta(days=1)
STEPS = (MINUTE, *ladder.SPANS)


@dataclass(frozen=True, slots=True)
class Range:
    """Even steps that cover what was asked for: [since, until), a step each."""

    since: datetime
    until: datetime
    step: timedelta

    @property
    def points(self) -> int:
        return (self.until - self.since) // self.step


@dataclass(frozen=True, slots=True)
class Point:
    """One step of a range; `cell` is None where no snapshot was taken in it."""

    at: datetime
    cell: Cell | None


def points(asked: Range) -> list[Point]:
    """A point for each step of the range, oldest first."""
    found = {
        cell.start: cell
        for cell in ladder.cells(asked.since, asked.until, span=asked.step)
        if cell.newest is not None
    }
    starts = (asked.since + number * asked.step for number in range(asked.points))
    return [Point(start, found.get(start)) for start in starts]


def parse_range(parameters: Mapping[str, str], *, now: datetime) -> Range:
    """The range that `since`, `until` and `step` ask for: by default the last day, in even steps.

    Raises: APIError 400 that names the parameter.
    """
    until = parse_moment("until", parameters.get("until"), default=now)
    since = parse_moment("since", parameters.get("since"), default=until - DEFAULT_SPAN)
    if since >= until:
        raise invalid(Validation("since", f"{since.isoformat()} is not before until."))
    step = _step(parameters.get("step"), span=until - since)
    asked = even_range(since, until, step=step)
    if asked.points > MOST_POINTS:
        detail = f"would make {asked.points} points; the limit is {MOST_POINTS}."
        raise invalid(Validation("step", detail))
    _check_detail(asked, now=now)
    return asked


def _check_detail(asked: Range, *, now: datetime) -> None:
    """Old minutes are added up to five and let go: what is left of them must not pass for all."""
    oldest = folding.minutes_from(now)
    if asked.step % ladder.FIVE_MINUTES and asked.since < oldest:
        detail = f"must be a multiple of 5 minutes before {oldest.isoformat()}."
        raise invalid(Validation("step", detail))


def parse_moment(name: str, text: str | None, *, default: datetime) -> datetime:
    """The moment that a parameter names. Raises: APIError 400."""
    if not text:
        return default
    try:
        found = moment(text)
    except ValueError as error:
        raise invalid(Validation(name, f"{error}.")) from None
    if not EPOCH <= found < datetime(9000, 1, 1, tzinfo=found.tzinfo):
        raise invalid(Validation(name, f"{text[:64]!r} is out of range."))
    return found


def _step(text: str | None, *, span: timedelta) -> timedelta:
    if not text:
        return next((step for step in fitting_steps() if span / step < MOST_POINTS), ladder.DAY)
    try:
        step = timedelta(microseconds=parse_duration(text) // 1000)
    except (ValueError, OverflowError) as error:
        raise invalid(Validation("step", f"{text[:64]!r} {error}.")) from None
    least = max(MINUTE, refresh_interval())
    if step < least or step % MINUTE:
        detail = f"must be whole minutes, and no less than {least}, between snapshots."
        raise invalid(Validation("step", detail))
    return step


def fitting_steps() -> list[timedelta]:
    """The ladder's steps that are no shorter than the time between snapshots."""
    return [step for step in STEPS if step >= refresh_interval()]


def even_range(since: datetime, until: datetime, *, step: timedelta) -> Range:
    """The steps, counted from 1970, that cover the span."""
    return Range(floor(since, step), _ceiling(until, step), step)


def _ceiling(moment: datetime, step: timedelta) -> datetime:
    start = floor(moment, step)
    return start if start == moment else start + step


def point_members(point: Point) -> dict[str, Any]:
    """A point as the page names its members, or as a gap."""
    cell = point.cell
    if cell is None or cell.newest is None:
        return {"at": point.at, "gap": True}
    return {
        "at": point.at,
        "session_count": cell.newest.session_counts,
        "workspaces": {
            **cell.newest.workspaces,
            "rx_bytes": min(cell.rx_bytes, MOST),
            "tx_bytes": min(cell.tx_bytes, MOST),
            "latency_p50": cell.percentile(P50),
            "latency_p95": cell.percentile(P95),
        },
    }
