"""Builds rollups and the newest row of each agent from the agent rows of stale minutes.

The builder processes one hour in one transaction, and only one builder runs at a time. It first
deletes the marks of the hour's stale minutes, and then reads the rows. A writer commits rows and
marks in one transaction, so the builder sees the rows of every mark that it deletes. If a mark is
committed later, it is kept, and the next run builds its minute again.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

import orjson
from django.db import transaction

from kernel.db import listener
from kernel.db.connections import transaction_lock
from kernel.db.sql import execute, fetch_rows
from kernel.text.durations import floor
from stats.models import HOUR, MINUTE, SESSION_COLUMNS, Rollup, StaleMinute
from stats.rollups.hours import AGENT_STATS, closed_among, mark_stale
from stats.statistics import percentiles

SESSIONS = ", ".join(SESSION_COLUMNS)
# The builder always builds this number of newest hours, because the next snapshot needs them. Older
# hours are built only while there is time left.
NEWEST_HOURS = 2
ONE_BUILDER = "build-stats"
# Documents with this topic are rendered again after a build, a new snapshot or pruning.
TOPIC = "stats"

_DELETE_MARKS = """
WITH deleted AS (
    DELETE FROM stats_staleminute WHERE minute >= %(hour)s AND minute < %(end)s
    RETURNING minute, rows_were_deleted
)
SELECT minute, bool_or(rows_were_deleted) FROM deleted GROUP BY minute
"""
# A period is a range of consecutive stale minutes, because PostgreSQL can estimate how many rows a
# range has. It would compare each row of the hour with an array of minutes.
_IN_PERIOD = "created_at >= %(since)s AND created_at < %(until)s"
_BUILD_MINUTES = f"""
INSERT INTO stats_rollup (
    span_seconds, starts_at, row_count, measured_rx_bytes, measured_tx_bytes, unmeasured_rx_bytes,
    unmeasured_tx_bytes, latency_buckets, latency_counts, built_at, is_final
)
SELECT 60, minute, sum(n),
       coalesce(sum(rx) FILTER (WHERE bucket IS NOT NULL), 0),
       coalesce(sum(tx) FILTER (WHERE bucket IS NOT NULL), 0),
       coalesce(sum(rx) FILTER (WHERE bucket IS NULL), 0),
       coalesce(sum(tx) FILTER (WHERE bucket IS NULL), 0),
       coalesce(array_agg(bucket ORDER BY bucket) FILTER (WHERE bucket IS NOT NULL), '{{}}'),
       coalesce(array_agg(n ORDER BY bucket) FILTER (WHERE bucket IS NOT NULL), '{{}}'),
       %(now)s, false
FROM (
    SELECT date_bin('1 minute', created_at, TIMESTAMPTZ '1970-01-01T00:00:00Z') AS minute,
           latency_bucket AS bucket, count(*) AS n, sum(rx_bytes) AS rx, sum(tx_bytes) AS tx
    FROM stats_agentstat WHERE {_IN_PERIOD} GROUP BY 1, 2
) AS parts GROUP BY minute
"""  # noqa: S608 - the names are constants of this package
_BUILD_HOUR = """
WITH minutes AS MATERIALIZED (
    SELECT * FROM stats_rollup
    WHERE span_seconds = 60 AND starts_at >= %(hour)s AND starts_at < %(end)s
), merged AS (
    SELECT bucket, sum(n)::bigint AS n
    FROM minutes, unnest(latency_buckets, latency_counts) AS each (bucket, n) GROUP BY bucket
)
INSERT INTO stats_rollup (
    span_seconds, starts_at, row_count, measured_rx_bytes, measured_tx_bytes, unmeasured_rx_bytes,
    unmeasured_tx_bytes, latency_buckets, latency_counts, built_at, is_final
)
SELECT 3600, %(hour)s, coalesce(sum(row_count), 0), coalesce(sum(measured_rx_bytes), 0),
       coalesce(sum(measured_tx_bytes), 0), sum(unmeasured_rx_bytes), sum(unmeasured_tx_bytes),
       ARRAY(SELECT bucket FROM merged ORDER BY bucket),
       ARRAY(SELECT n FROM merged ORDER BY bucket), %(now)s, false
FROM minutes
ON CONFLICT (span_seconds, starts_at) DO UPDATE SET
    (row_count, measured_rx_bytes, measured_tx_bytes, unmeasured_rx_bytes, unmeasured_tx_bytes,
     latency_buckets, latency_counts, built_at) = (
        excluded.row_count, excluded.measured_rx_bytes, excluded.measured_tx_bytes,
        excluded.unmeasured_rx_bytes, excluded.unmeasured_tx_bytes, excluded.latency_buckets,
        excluded.latency_counts, excluded.built_at)
RETURNING array_to_json(latency_buckets)::text, array_to_json(latency_counts)::text
"""
_NEWEST = ("created_at", "id", "workspace_id", *SESSION_COLUMNS)
_UPSERT_NEWEST = f"""
INSERT INTO stats_newestagentstat AS known (agent_id, {", ".join(_NEWEST)})
SELECT DISTINCT ON (agent_id) agent_id, {", ".join(_NEWEST)}
{{rows}} ORDER BY agent_id, created_at DESC, id DESC
ON CONFLICT (agent_id) DO UPDATE SET
    ({", ".join(_NEWEST)}) = ({", ".join(f"excluded.{name}" for name in _NEWEST)})
WHERE (excluded.created_at, excluded.id) > (known.created_at, known.id)
"""
# Finding only the newest times first takes a third of the time of sorting all rows.
_NEWEST_IN_PERIOD = f"""
FROM (
    SELECT agent_id AS agent, max(created_at) AS newest FROM stats_agentstat
    WHERE {_IN_PERIOD} GROUP BY agent_id
) AS found JOIN stats_agentstat ON agent_id = agent AND created_at = newest
WHERE {_IN_PERIOD} AND NOT EXISTS (
    SELECT FROM stats_newestagentstat AS newer
    WHERE newer.agent_id = agent AND newer.created_at > newest
)
"""  # noqa: S608 - the names are constants of this package
_DELETE_NEWEST = """
DELETE FROM stats_newestagentstat
WHERE date_trunc('minute', created_at, 'UTC') = ANY(%s) RETURNING agent_id
"""
# Finds the newest remaining row of each agent. Reads the newest partition first, and stops at the
# first row of the agent.
_NEWEST_REMAINING = """
FROM unnest(%(agents)s) AS agent, LATERAL (
    SELECT * FROM stats_agentstat WHERE agent_id = agent
    ORDER BY created_at DESC, id DESC LIMIT 1
) AS r
"""


def build(*, now: datetime, seconds: float = float("inf")) -> int:
    """Builds stale minutes, newest hours first. Returns the number of built minutes with rows.

    After `seconds`, the remaining old hours are left to the next run.
    """
    ends = time.monotonic() + seconds
    built = 0
    for hour in list(StaleMinute.objects.datetimes("minute", "hour", "DESC", tzinfo=UTC)):
        if hour < now - NEWEST_HOURS * HOUR and time.monotonic() > ends:
            break
        with transaction.atomic(), transaction_lock(ONE_BUILDER):
            built += _build_hour(hour, now=now)
    return built


def _build_hour(hour: datetime, *, now: datetime) -> int:
    values: dict[str, Any] = {"hour": hour, "end": hour + HOUR, "now": now}
    marks = dict(fetch_rows(_DELETE_MARKS, values))
    if not marks or closed_among([hour]):
        return 0
    values["minutes"] = sorted(marks)
    # Newest first, because then older rows of the same agents are skipped.
    periods = [values | period for period in reversed(_periods(values["minutes"]))]
    built = _build_rollups(values, periods)
    _build_newest(
        periods,
        deleted=[minute for minute, rows_were_deleted in marks.items() if rows_were_deleted],
    )
    listener.announce(TOPIC)
    return built


def _periods(minutes: Iterable[datetime]) -> list[dict[str, datetime]]:
    """Groups consecutive minutes. Shape: [{"since": first minute, "until": end of the last}]."""
    periods: list[dict[str, datetime]] = []
    for minute in minutes:
        if not periods or periods[-1]["until"] != minute:
            periods.append({"since": minute})
        periods[-1]["until"] = minute + MINUTE
    return periods


def _build_rollups(values: dict[str, Any], periods: Sequence[dict[str, Any]]) -> int:
    minutes = Rollup.objects.filter(span_seconds=Rollup.Span.MINUTE)
    minutes.filter(starts_at__in=values["minutes"]).delete()
    built = sum(execute(_BUILD_MINUTES, period) for period in periods)
    (histogram,) = fetch_rows(_BUILD_HOUR, values)
    p50, p95 = percentiles(*map(orjson.loads, histogram))
    of_hour = Rollup.objects.filter(span_seconds=Rollup.Span.HOUR, starts_at=values["hour"])
    of_hour.update(latency_p50_ms=p50, latency_p95_ms=p95)
    return built


def _build_newest(periods: Sequence[dict[str, Any]], *, deleted: list[datetime]) -> None:
    """Updates the newest row of each agent. `deleted` contains the minutes with deleted rows."""
    agents = [agent for (agent,) in fetch_rows(_DELETE_NEWEST, [deleted])] if deleted else []
    for period in periods:
        execute(_UPSERT_NEWEST.format(rows=_NEWEST_IN_PERIOD), period)
    if agents:
        # For these agents, an older row is now the newest row. It may be in another hour.
        execute(_UPSERT_NEWEST.format(rows=_NEWEST_REMAINING), {"agents": agents})


def rebuild(since: datetime, *, now: datetime) -> tuple[int, int]:
    """Rebuilds all minutes from `since` on, except those in closed hours.

    Returns the number of rebuilt minutes with rows, and the number of closed hours.
    """
    first, first_hour = floor(since, MINUTE), floor(since, HOUR)
    for hour in AGENT_STATS.starts():
        if hour >= first_hour and not closed_among([hour]):
            minutes = (hour.replace(minute=number) for number in range(60))
            mark_stale([minute for minute in minutes if minute >= first], rows_were_deleted=True)
    closed = Rollup.objects.filter(
        span_seconds=Rollup.Span.HOUR, starts_at__gte=first_hour, is_final=True
    )
    return build(now=now), closed.count()
