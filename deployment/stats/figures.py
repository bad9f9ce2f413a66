"""The figures of one window: from whole minutes, raw rows at its edges, and newest rows.

The window is (at - 15 minutes, at]. Traffic and latency come from its rows with a latency above 0;
sessions from the newest row of each agent in it; workspaces from what is known of them now.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import connection

from deployment.stats import percentiles
from deployment.stats.folding import BUCKET, SESSION_COLUMNS
from deployment.stats.models import Snapshot

WINDOW = timedelta(minutes=15)
MINUTE = timedelta(minutes=1)
MICROSECOND = timedelta(microseconds=1)
# Up to so many rows, percentiles are taken from the rows themselves.
MOST_EXACT_ROWS = 20_000
P50, P95 = 0.5, 0.95
MOST_BYTES = 2**63 - 1
KINDS = tuple(name.removeprefix("session_count_") for name in SESSION_COLUMNS)


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentFigures:
    """Units: bytes; ms, -1 where none was measured. Shape: `latency_histogram` [[bucket, rows]]."""

    row_count: int
    rx_bytes: int
    tx_bytes: int
    latency_p50: float
    latency_p95: float
    session_counts: dict[str, int]
    latency_histogram: list[list[int]]
    method: Snapshot.Method


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkspaceFigures:
    pending: int
    building: int
    running: int
    failed: int
    stopped: int


NO_AGENTS = AgentFigures(
    row_count=0,
    rx_bytes=0,
    tx_bytes=0,
    latency_p50=percentiles.NO_SAMPLE,
    latency_p95=percentiles.NO_SAMPLE,
    session_counts=dict.fromkeys(KINDS, 0),
    latency_histogram=[],
    method=Snapshot.Method.EXACT,
)

# One statement, so that all figures are of one state of the tables. The subquery of a CASE is run
# only if needed; the raw rows of agents that have reported since `at` only if there is one.
_AGENTS = f"""
WITH edges AS MATERIALIZED (
    SELECT CASE WHEN connection_median_latency_ms > 0 THEN {BUCKET} END AS bucket,
           sum(sign) AS row_count,
           sum(sign * rx_bytes) AS rx_bytes, sum(sign * tx_bytes) AS tx_bytes
    FROM (
        SELECT rx_bytes, tx_bytes, connection_median_latency_ms, %(start_sign)s AS sign
        FROM deployment_agentstat
        WHERE created_at >= %(start_from)s AND created_at <= %(start_to)s
        UNION ALL
        SELECT rx_bytes, tx_bytes, connection_median_latency_ms, %(end_sign)s
        FROM deployment_agentstat
        WHERE created_at >= %(end_from)s AND created_at <= %(end_to)s
    ) AS arrived GROUP BY 1
), parts AS (
    SELECT row_count, rx_bytes, tx_bytes FROM deployment_minutesum
    WHERE minute >= %(first)s AND minute < %(last)s
    UNION ALL
    SELECT sum(row_count), sum(rx_bytes) FILTER (WHERE bucket IS NOT NULL),
           sum(tx_bytes) FILTER (WHERE bucket IS NOT NULL)
    FROM edges
), totals AS MATERIALIZED (
    SELECT coalesce(sum(row_count), 0) AS row_count,
           coalesce(sum(rx_bytes), 0) AS rx_bytes, coalesce(sum(tx_bytes), 0) AS tx_bytes
    FROM parts
), buckets AS (
    SELECT bucket, sum(row_count)::bigint AS row_count FROM (
        SELECT bucket, row_count FROM deployment_latencybucket
        WHERE minute >= %(first)s AND minute < %(last)s
        UNION ALL
        SELECT bucket, row_count FROM edges WHERE bucket IS NOT NULL
    ) AS counted GROUP BY bucket HAVING sum(row_count) > 0 ORDER BY bucket
), overtaken AS MATERIALIZED (
    SELECT agent_id FROM deployment_newestagentstat WHERE created_at > %(at)s
), newest AS (
    SELECT {", ".join(SESSION_COLUMNS)} FROM deployment_newestagentstat
    WHERE created_at > %(start)s AND created_at <= %(at)s
    UNION ALL (
        SELECT DISTINCT ON (agent_id) {", ".join(SESSION_COLUMNS)} FROM deployment_agentstat
        WHERE (SELECT count(*) > 0 FROM overtaken)
          AND created_at > %(start)s AND created_at <= %(at)s
          AND agent_id IN (SELECT agent_id FROM overtaken)
        ORDER BY agent_id, created_at DESC, id DESC
    )
)
SELECT row_count, rx_bytes, tx_bytes,
    CASE WHEN row_count <= %(most)s THEN (
        SELECT percentile_cont(ARRAY[{P50}, {P95}])
               WITHIN GROUP (ORDER BY connection_median_latency_ms)
        FROM deployment_agentstat
        WHERE created_at > %(start)s AND created_at <= %(at)s AND connection_median_latency_ms > 0
    ) END,
    (SELECT coalesce(array_agg(ARRAY[bucket, row_count]), '{{}}') FROM buckets),
    (SELECT ARRAY[{", ".join(f"coalesce(sum({name}), 0)" for name in SESSION_COLUMNS)}] FROM newest)
FROM totals
"""  # noqa: S608 - the names are constants of this package

_WORKSPACES = """
SELECT
    count(*) FILTER (WHERE job_started_at IS NULL),
    count(*) FILTER (
        WHERE job_started_at IS NOT NULL AND job_canceled_at IS NULL AND job_completed_at IS NULL),
    count(*) FILTER (WHERE transition = 'start' AND {succeeded}),
    count(*) FILTER (
        WHERE error <> '' AND (job_canceled_at IS NOT NULL OR job_completed_at IS NOT NULL)),
    count(*) FILTER (WHERE transition = 'stop' AND {succeeded})
FROM deployment_workspacestate WHERE NOT deleted
""".format(succeeded="job_completed_at IS NOT NULL AND job_canceled_at IS NULL AND error = ''")


def agent_figures(at: datetime, *, most_exact_rows: int = MOST_EXACT_ROWS) -> AgentFigures:
    """What the agents' rows of (at - 15 minutes, at] come to."""
    window: dict[str, datetime | int] = {"start": at - WINDOW, "at": at, "most": most_exact_rows}
    with connection.cursor() as cursor:
        cursor.execute(_AGENTS, window | _start_edge(at - WINDOW) | _end_edge(at))
        rows, rx, tx, exact, histogram, sessions = cursor.fetchone()
    p50, p95 = _percentiles(exact, histogram, in_rows=rows <= most_exact_rows)
    return AgentFigures(
        row_count=int(rows),
        rx_bytes=min(int(rx), MOST_BYTES),
        tx_bytes=min(int(tx), MOST_BYTES),
        latency_p50=p50,
        latency_p95=p95,
        session_counts=dict(zip(KINDS, map(int, sessions), strict=True)),
        latency_histogram=histogram,
        method=Snapshot.Method.EXACT if rows <= most_exact_rows else Snapshot.Method.HISTOGRAM,
    )


def _start_edge(start: datetime) -> dict[str, datetime | int]:
    """How the minute in which the window begins is read: the fewer raw rows of its two parts.

    Either those after `start` are added to the minutes that follow, or the others are taken away
    from the whole minute.
    """
    minute = _minute(start)
    if start - minute < MINUTE / 2:
        return {
            "first": minute,
            "start_sign": -1,
            "start_from": minute,
            "start_to": start,
        }
    return {
        "first": minute + MINUTE,
        "start_sign": 1,
        "start_from": start + MICROSECOND,
        "start_to": minute + MINUTE - MICROSECOND,
    }


def _end_edge(at: datetime) -> dict[str, datetime | int]:
    """The same for the minute in which the window ends; `last` is where whole minutes end."""
    minute = _minute(at)
    if at - minute < MINUTE / 2:
        return {"last": minute, "end_sign": 1, "end_from": minute, "end_to": at}
    return {
        "last": minute + MINUTE,
        "end_sign": -1,
        "end_from": at + MICROSECOND,
        "end_to": minute + MINUTE - MICROSECOND,
    }


def _minute(moment: datetime) -> datetime:
    return moment.replace(second=0, microsecond=0)


def _percentiles(
    exact: Sequence[float] | None, histogram: Sequence[Sequence[int]], *, in_rows: bool
) -> tuple[float, float]:
    if exact is not None:
        return exact[0], exact[1]
    if in_rows:
        return percentiles.NO_SAMPLE, percentiles.NO_SAMPLE
    counts = percentiles.merged([histogram])
    return percentiles.from_histogram(counts, P50), percentiles.from_histogram(counts, P95)


_USAGE = f"""
SELECT {", ".join(f"coalesce(sum({name}), 0)::bigint" for name in SESSION_COLUMNS)} FROM (
    SELECT DISTINCT ON (agent_id) * FROM (
        SELECT agent_id, date_trunc('minute', created_at) AS minute,
            {", ".join(f"sum({name}) AS {name}" for name in SESSION_COLUMNS)}
        FROM deployment_agentstat
        WHERE created_at > %(start)s AND created_at < %(minute)s AND usage
        GROUP BY agent_id, minute
    ) AS minutes ORDER BY agent_id, minute DESC
) AS newest
"""  # noqa: S608 - the names are constants of this package


def usage_sessions(at: datetime) -> dict[str, int]:
    """Sessions by kind as rows of usage tell: of each agent, those of its newest full minute.

    An agent tells of its sessions in several such rows, so a minute's rows are added up.
    """
    with connection.cursor() as cursor:
        cursor.execute(_USAGE, {"start": at - WINDOW, "minute": _minute(at)})
        return dict(zip(KINDS, cursor.fetchone(), strict=True))


def workspace_figures() -> WorkspaceFigures:
    """How many workspaces are in each state, by the job of their newest build."""
    with connection.cursor() as cursor:
        cursor.execute(_WORKSPACES)
        row: Any = cursor.fetchone()
    names = ("pending", "building", "running", "failed", "stopped")
    return WorkspaceFigures(**dict(zip(names, row, strict=True)))
