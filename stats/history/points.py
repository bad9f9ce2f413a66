"""Reads history as steps of equal length, each with its rollups and its newest snapshot."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any

import orjson

from kernel.db.sql import fetch_rows
from kernel.http.errors import Validation, invalid
from kernel.text.durations import floor, parse_duration, to_timedelta
from stats import statistics
from stats.models import DAY, HOUR, MINUTE, Rollup, Snapshot
from stats.rollups.retention import finest_step
from stats.selectors import refresh_interval
from stats.statistics import NO_SAMPLE, percentiles
from users.requests import parse_moment

MAX_POINTS = 2_000
RESOLUTION = timedelta(microseconds=1)
STEPS = (MINUTE, 5 * MINUTE, HOUR, DAY)

# A step of one hour needs no histogram, because the hour has its percentiles. orjson parses arrays
# three times as fast as psycopg.
_ROLLUPS = """
SELECT starts_at,
    measured_rx_bytes + CASE WHEN %(from_usage)s THEN 0 ELSE coalesce(unmeasured_rx_bytes, 0) END,
    measured_tx_bytes + CASE WHEN %(from_usage)s THEN 0 ELSE coalesce(unmeasured_tx_bytes, 0) END,
    latency_p50_ms, latency_p95_ms,
    CASE WHEN latency_p50_ms IS NULL OR NOT %(is_hour)s
         THEN array_to_json(latency_buckets)::text END,
    CASE WHEN latency_p50_ms IS NULL OR NOT %(is_hour)s
         THEN array_to_json(latency_counts)::text END
FROM stats_rollup WHERE span_seconds = %(span)s AND starts_at >= %(since)s AND starts_at < %(until)s
ORDER BY starts_at LIMIT %(limit)s
"""
# Looks up one snapshot for each step, instead of sorting all snapshots of the range.
_NEWEST = """
SELECT s.* FROM generate_series(%(since)s, %(until)s - %(step)s, %(step)s) AS at, LATERAL (
    SELECT * FROM stats_snapshot
    WHERE collected_at >= at AND collected_at < at + %(step)s ORDER BY collected_at DESC LIMIT 1
) AS s
"""


@dataclass(frozen=True, slots=True)
class Range:
    """A period [since, until) whose length is a whole number of steps."""

    since: datetime
    until: datetime
    step: timedelta

    @property
    def points(self) -> int:
        return (self.until - self.since) // self.step


@dataclass(slots=True)
class Point:
    """One step of history, with the sums of its rows and its newest snapshot.

    A step without a snapshot is a gap.
    """

    at: datetime
    newest: Snapshot | None = None
    rx_bytes: int = 0
    tx_bytes: int = 0
    latency_p50_ms: float = NO_SAMPLE
    latency_p95_ms: float = NO_SAMPLE


def points(period: Range) -> list[Point]:
    """Returns a point for each step of the range, oldest first."""
    starts = (period.since + number * period.step for number in range(period.points))
    found = {start: Point(start) for start in starts}
    for at, rollups in groupby(_rollups(period), lambda rollup: floor(rollup[0], period.step)):
        _, rx, tx, p50, p95, buckets, counts = zip(*rollups, strict=True)
        latencies = percentiles(*_merged(buckets, counts)) if buckets[0] else (p50[0], p95[0])
        found[at] = Point(at, None, int(sum(rx)), int(sum(tx)), *latencies)
    for snapshot in Snapshot.objects.raw(_NEWEST, asdict(period)):
        found[floor(snapshot.collected_at, period.step)].newest = snapshot
    return list(found.values())


def _rollups(period: Range) -> Iterator[tuple[Any, ...]]:
    """Yields the rollups of the range, oldest first. Reads a limited number at a time."""
    span = Rollup.Span.MINUTE if period.step % HOUR else Rollup.Span.HOUR
    values: dict[str, Any] = {
        **asdict(period),
        "span": span,
        "limit": MAX_POINTS,
        "is_hour": period.step == HOUR,
        "from_usage": statistics.counts_usage(),
    }
    while True:
        yield from (rows := fetch_rows(_ROLLUPS, values))
        if len(rows) < MAX_POINTS:
            return
        values["since"] = rows[-1][0] + RESOLUTION


def _merged(buckets: Sequence[str], counts: Sequence[str]) -> tuple[Sequence[int], Sequence[int]]:
    """Adds up histograms. Their buckets and counts are JSON arrays. Returns sorted buckets."""
    merged: Counter[int] = Counter()
    for texts in zip(buckets, counts, strict=True):
        for bucket, count in zip(*map(orjson.loads, texts), strict=True):
            merged[bucket] += count
    ordered = sorted(merged)
    return ordered, [merged[bucket] for bucket in ordered]


def parse_range(parameters: Mapping[str, str], *, now: datetime) -> Range:
    """Parses the parameters `since`, `until` and `step`. By default, the range is the last day.

    Raises: APIError 400 with the name of the invalid parameter.
    """
    until = parse_moment("until", parameters.get("until"), default=now)
    since = parse_moment("since", parameters.get("since"), default=until - DAY)
    if since >= until:
        raise invalid(Validation("since", f"{since.isoformat()} must be before until."))
    finest = finest_step(since, now=now)
    text = parameters.get("step")
    step = _step(text) if text else _fitting_step(until - since, finest=finest)
    period = even_range(since, until, step=step)
    if period.points > MAX_POINTS:
        detail = f"would result in {period.points} points; the limit is {MAX_POINTS}."
        raise invalid(Validation("step", detail))
    # Old snapshots are thinned, so with a shorter step, steps without a snapshot would look like
    # gaps.
    if step % finest:
        detail = f"must be a multiple of {finest} if since is {since.isoformat()}."
        raise invalid(Validation("step", detail))
    return period


def _fitting_step(span: timedelta, *, finest: timedelta) -> timedelta:
    """Returns the default step: the shortest of STEPS, or whole days, that is allowed for the span.

    A step must not be shorter than the interval between snapshots, and must not result in more than
    MAX_POINTS points.
    """
    shortest = max(finest, refresh_interval())
    fitting = (step for step in STEPS if step >= shortest and span // step + 2 <= MAX_POINTS)
    # The ends of the range lie inside the first and the last step.
    return next(fitting, (span // ((MAX_POINTS - 1) * DAY) + 1) * DAY)


def _step(text: str) -> timedelta:
    try:
        step = to_timedelta(parse_duration(text))
    except (ValueError, OverflowError) as error:
        raise invalid(Validation("step", f"{text[:64]!r} {error}.")) from None
    shortest = max(MINUTE, refresh_interval())
    if step < shortest or step % MINUTE:
        detail = f"must be whole minutes, and at least the snapshot interval of {shortest}."
        raise invalid(Validation("step", detail))
    return step


def even_range(since: datetime, until: datetime, *, step: timedelta) -> Range:
    """Returns the smallest range of whole steps that contains [since, until).

    The steps are multiples of `step`, counted from 1970.
    """
    return Range(floor(since, step), floor(until - RESOLUTION, step) + step, step)
