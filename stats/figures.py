"""The figures of one window, (at - 15 minutes, at].

Traffic and latency come from its rows with a latency above 0: whole minutes from rollups, the two
minutes that the window cuts from raw rows. Sessions come from the newest row of each agent in it,
workspaces from what is known of them now.

Percentiles of many rows come from a logarithmic histogram, within 1 %. Bucket b holds latencies in
(RATIO^b, RATIO^(b+1)], and answers with the value whose relative distance to both ends is the same.
PostgreSQL puts a row into its bucket as the row comes in (`AgentStat.latency_bucket`). Percentiles
of merged spans come from merged histograms, never from averages of percentiles.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db import connection

from stats.models import Snapshot
from stats.rollups.builder import SESSION_COLUMNS
from stats.rollups.hours import MINUTE, floor

WINDOW = timedelta(minutes=15)
# Up to so many rows, percentiles are taken from the rows themselves.
MAX_EXACT_ROWS = 20_000
MAX_INTEGER = 2**63 - 1
KINDS = tuple(name.removeprefix("session_count_") for name in SESSION_COLUMNS)
STATES = ("pending", "building", "running", "failed", "stopped")
ERROR = 0.0095
LOG_RATIO = math.log((1 + ERROR) / (1 - ERROR))
NO_SAMPLE = -1.0
P50, P95 = 0.5, 0.95

# Units: bytes; ms, -1 where none was measured.
NO_AGENTS: dict[str, Any] = {
    "row_count": 0,
    "rx_bytes": 0,
    "tx_bytes": 0,
    "latency_p50": NO_SAMPLE,
    "latency_p95": NO_SAMPLE,
    "session_counts": dict.fromkeys(KINDS, 0),
    "method": Snapshot.Method.EXACT,
}

_IN_WINDOW = "created_at > %(start)s AND created_at <= %(at)s"
# One statement, so that all figures are of one state of the tables. Only agents whose newest row is
# later than the moment are looked for among the raw rows. The LIMIT leaves out no row: it tells the
# planner how few these are, or it would take the statement for one that is worth compiling (JIT).
_AGENTS = f"""
WITH edges AS MATERIALIZED (
    SELECT latency_bucket AS bucket, count(*) AS n, sum(rx_bytes) AS rx, sum(tx_bytes) AS tx
    FROM (
        SELECT latency_bucket, rx_bytes, tx_bytes FROM stats_agentstat
        WHERE created_at > %(start)s AND created_at < %(first)s
        UNION ALL
        SELECT latency_bucket, rx_bytes, tx_bytes FROM stats_agentstat
        WHERE created_at >= %(last)s AND created_at <= %(at)s
    ) AS r GROUP BY 1
), minutes AS MATERIALIZED (
    SELECT * FROM stats_rollup WHERE span = 60 AND start >= %(first)s AND start < %(last)s
), total AS MATERIALIZED (
    SELECT sum(n) AS n, sum(rx) AS rx, sum(tx) AS tx FROM (
        SELECT row_count, rx_bytes, tx_bytes FROM minutes UNION ALL
        SELECT n, CASE WHEN bucket IS NOT NULL THEN rx END,
               CASE WHEN bucket IS NOT NULL THEN tx END FROM edges
    ) AS parts (n, rx, tx)
), histogram AS MATERIALIZED (
    SELECT bucket, sum(n) AS n FROM (
        SELECT bucket, n FROM edges WHERE bucket IS NOT NULL UNION ALL
        SELECT each.* FROM minutes, unnest(buckets, counts) AS each
    ) AS parts (bucket, n) GROUP BY bucket
), exact AS (
    SELECT percentile_cont(ARRAY[{P50}, {P95}]::float8[]) WITHIN GROUP (ORDER BY latency) AS found
    FROM (
        SELECT connection_median_latency_ms FROM stats_agentstat
        WHERE {_IN_WINDOW} AND latency_bucket IS NOT NULL
          AND (SELECT n FROM total) <= %(max_exact_rows)s
        LIMIT %(max_exact_rows)s
    ) AS few (latency)
), sessions AS (
    SELECT {", ".join(f"coalesce(sum({name}), 0) AS {name}" for name in SESSION_COLUMNS)}
    FROM (
        SELECT {", ".join(SESSION_COLUMNS)} FROM stats_newestagentstat
        WHERE {_IN_WINDOW}
        UNION ALL
        SELECT before.* FROM stats_newestagentstat AS newest, LATERAL (
            SELECT {", ".join(SESSION_COLUMNS)} FROM stats_agentstat
            WHERE agent_id = newest.agent_id AND {_IN_WINDOW}
            ORDER BY created_at DESC, id DESC LIMIT 1
        ) AS before
        WHERE newest.created_at > %(at)s
    ) AS newest
)
SELECT coalesce(n, 0), coalesce(rx, 0), coalesce(tx, 0),
       ARRAY(SELECT bucket FROM histogram), ARRAY(SELECT n FROM histogram),
       (SELECT found FROM exact), sessions.*
FROM total, sessions
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
FROM stats_workspacestate WHERE NOT deleted
""".format(succeeded="job_completed_at IS NOT NULL AND job_canceled_at IS NULL AND error = ''")

_REPORTING = f"SELECT count(DISTINCT workspace_id) FROM stats_agentstat WHERE {_IN_WINDOW}"  # noqa: S608

# Of each agent, the newest minute with rows of usage that is over.
_USAGE = f"""
SELECT {", ".join(f"coalesce(sum({name}), 0)" for name in SESSION_COLUMNS)}
FROM (
    SELECT *, rank() OVER (
        PARTITION BY agent_id ORDER BY date_trunc('minute', created_at, 'UTC') DESC) AS place
    FROM stats_agentstat
    WHERE usage AND created_at > %(start)s AND created_at < %(last)s
) AS ranked WHERE place = 1
"""  # noqa: S608 - the names are constants of this package


def agent_figures(at: datetime) -> dict[str, Any]:
    """Returns the figures of all agents' rows of (at - 15 minutes, at]. Shape: as NO_AGENTS."""
    with connection.cursor() as cursor:
        cursor.execute(_AGENTS, {**_window(at), "max_exact_rows": MAX_EXACT_ROWS})
        rows, rx, tx, buckets, counts, exact, *sessions = cursor.fetchone()
    histogram = dict(zip(buckets, map(int, counts), strict=True))
    p50, p95 = exact or [percentile(histogram, fraction) for fraction in (P50, P95)]
    return {
        "row_count": int(rows),
        "rx_bytes": min(int(rx), MAX_INTEGER),
        "tx_bytes": min(int(tx), MAX_INTEGER),
        "latency_p50": p50,
        "latency_p95": p95,
        "session_counts": _session_counts(sessions),
        "method": Snapshot.Method.EXACT if rows <= MAX_EXACT_ROWS else Snapshot.Method.HISTOGRAM,
    }


def _window(at: datetime) -> dict[str, Any]:
    start = at - WINDOW
    return {
        "start": start,
        "first": floor(start, MINUTE) + MINUTE,
        "last": floor(at, MINUTE),
        "at": at,
    }


def _session_counts(sums: Sequence[Decimal]) -> dict[str, int]:
    return {kind: min(int(n), MAX_INTEGER) for kind, n in zip(KINDS, sums, strict=True)}


def usage_sessions(at: datetime) -> dict[str, int]:
    """Counts sessions by kind as rows of usage tell: of each agent, in its newest full minute.

    An agent tells of its sessions in several such rows, so a minute's rows are added up.
    """
    with connection.cursor() as cursor:
        cursor.execute(_USAGE, _window(at))
        return _session_counts(cursor.fetchone())


def workspace_figures() -> dict[str, int]:
    """Counts workspaces by state, as the job of their newest build says."""
    with connection.cursor() as cursor:
        cursor.execute(_WORKSPACES)
        return dict(zip(STATES, cursor.fetchone(), strict=True))


def reporting_workspaces(at: datetime) -> dict[str, int]:
    """Counts as running the workspaces that reported in the window; of others nothing is known."""
    with connection.cursor() as cursor:
        cursor.execute(_REPORTING, _window(at))
        return dict.fromkeys(STATES, 0) | {"running": cursor.fetchone()[0]}


def value_of(bucket: int) -> float:
    """Returns the latency that stands for a bucket. Units: ms."""
    return math.exp(bucket * LOG_RATIO) * (1 + ERROR)


def percentile(histogram: Mapping[int, int], fraction: float) -> float:
    """Interpolates between the buckets' values. Returns -1 without a row.

    Shape: `histogram` {bucket: rows}.
    """
    rows = sum(histogram.values())
    if not rows:
        return NO_SAMPLE
    position = fraction * (rows - 1)
    below = math.floor(position)
    low = _at_rank(histogram, below)
    high = _at_rank(histogram, min(below + 1, rows - 1))
    return low + (high - low) * (position - below)


def _at_rank(histogram: Mapping[int, int], rank: int) -> float:
    passed = 0
    for bucket in sorted(histogram):
        passed += histogram[bucket]
        if passed > rank:
            return value_of(bucket)
    raise ValueError(f"rank {rank} is beyond the histogram's {passed} rows")
