"""Reads history as steps of equal length, each with its rollups and its newest snapshot."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

import orjson
from django.db import connection

from kernel.durations import parse_duration, to_timedelta
from kernel.http.errors import Validation, invalid
from stats.ingest.rows import moment
from stats.models import Rollup, Snapshot
from stats.retention import finest_step
from stats.rollups.hours import EPOCH, HOUR, MINUTE, floor
from stats.selectors import refresh_interval
from stats.statistics import NO_SAMPLE, percentiles
from tokens.extraction import ACCESS_TOKEN, COOKIE

MAX_POINTS = 2_000
MAX_UNKNOWN = 20
RESOLUTION = timedelta(microseconds=1)
DAY = timedelta(days=1)
DEFAULT_SPAN = DAY
STEPS = (MINUTE, 5 * MINUTE, HOUR, DAY)
PARAMETERS = ("since", "until", "step")
# Clients may send their session token as a query parameter.
TOKEN_PARAMETERS = (COOKIE, ACCESS_TOKEN)

_IN_RANGE = "FROM stats_rollup WHERE span = %(span)s AND start >= %(since)s AND start < %(until)s"
# orjson parses arrays three times as fast as psycopg.
_ROLLUPS = f"""
SELECT start, rx_bytes, tx_bytes, array_to_json(buckets)::text, array_to_json(counts)::text
{_IN_RANGE}
"""
_MERGED_ROLLUPS = f"""
WITH rollups AS NOT MATERIALIZED (
    SELECT date_bin(%(step)s, start, TIMESTAMPTZ '1970-01-01T00:00:00Z') AS at, * {_IN_RANGE}
), histograms AS (
    SELECT at, json_agg(bucket ORDER BY bucket)::text AS buckets,
           json_agg(n ORDER BY bucket)::text AS counts
    FROM (
        SELECT at, bucket, sum(n)::bigint AS n
        FROM rollups, unnest(buckets, counts) AS each (bucket, n) GROUP BY 1, 2
    ) AS merged GROUP BY at
), sums AS (
    SELECT at, sum(rx_bytes) AS rx, sum(tx_bytes) AS tx FROM rollups GROUP BY at
)
SELECT at, rx, tx, coalesce(buckets, '[]'), coalesce(counts, '[]')
FROM sums LEFT JOIN histograms USING (at)
"""  # noqa: S608 - the names are constants of this package
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

    The step is a gap if it has no snapshot.
    """

    at: datetime
    newest: Snapshot | None = None
    rx_bytes: int = 0
    tx_bytes: int = 0
    latency_p50: float = NO_SAMPLE
    latency_p95: float = NO_SAMPLE


def points(period: Range) -> list[Point]:
    """Returns a point for each step of the range, oldest first."""
    starts = (period.since + number * period.step for number in range(period.points))
    found = {start: Point(start) for start in starts}
    span = Rollup.Span.MINUTE if period.step % HOUR else Rollup.Span.HOUR
    values: dict[str, Any] = {**asdict(period), "span": span}
    with connection.cursor() as cursor:
        cursor.execute(_ROLLUPS if period.step.total_seconds() == span else _MERGED_ROLLUPS, values)
        for at, rx, tx, *histogram in cursor.fetchall():
            latencies = percentiles(*map(orjson.loads, histogram))
            found[at] = Point(at, None, int(rx), int(tx), *latencies)
    for snapshot in Snapshot.objects.raw(_NEWEST, values):
        found[floor(snapshot.collected_at, period.step)].newest = snapshot
    return list(found.values())


def parse_range(parameters: Mapping[str, str], *, now: datetime) -> Range:
    """Parses the parameters `since`, `until` and `step`. By default, the range is the last day.

    Raises: APIError 400 with the name of the invalid or unknown parameter.
    """
    if unknown := sorted(parameters.keys() - {*PARAMETERS, *TOKEN_PARAMETERS}):
        detail = f"is not a parameter. The parameters are {', '.join(PARAMETERS)}."
        raise invalid(*(Validation(name[:64], detail) for name in unknown[:MAX_UNKNOWN]))
    until = parse_moment("until", parameters.get("until"), default=now)
    since = parse_moment("since", parameters.get("since"), default=until - DEFAULT_SPAN)
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


def parse_moment(name: str, text: str | None, *, default: datetime) -> datetime:
    """Parses a time. Raises: APIError 400 with the name of the parameter."""
    if not text:
        return default
    try:
        found = moment(text)
    except ValueError as error:
        raise invalid(Validation(name, f"{error}.")) from None
    if not EPOCH <= found < datetime(9000, 1, 1, tzinfo=found.tzinfo):
        raise invalid(Validation(name, f"{text[:64]!r} is out of range."))
    return found


def _fitting_step(span: timedelta, *, finest: timedelta) -> timedelta:
    """Returns the default step: the shortest of STEPS that is allowed for the span.

    A step must not be shorter than the interval between snapshots, and must not result in more than
    MAX_POINTS points.
    """
    shortest = max(finest, refresh_interval())
    fitting = (step for step in STEPS if step >= shortest and span / step < MAX_POINTS)
    return next(fitting, DAY)


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
