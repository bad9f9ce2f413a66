"""Computes the statistics of one window, (at - 15 minutes, at].

Latency is computed from rows with a latency above 0, and traffic from all rows. If sessions are
counted from usage rows, traffic is also computed from rows with a latency above 0, as in Coder. For
whole minutes, both come from rollups, and for the partial minutes at the start and the end of the
window from agent rows. Sessions come from the newest row of each agent in the window. Workspace
counts come from the current workspace states.

If a window has many rows, percentiles are estimated from a logarithmic histogram, with an error of
less than 1 %. Bucket b contains latencies in (RATIO^b, RATIO^(b+1)]. A latency in a bucket is
estimated as the geometric mean of the bucket's two ends. PostgreSQL computes the bucket of a row on
insert (`AgentStat.latency_bucket`). Percentiles of a longer period come from merged histograms,
never from averages of percentiles.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from itertools import accumulate
from typing import Any

import orjson
from django.conf import settings

from kernel.db.sql import MAX_INTEGER, fetch_rows
from kernel.text.durations import floor
from stats.applications import FAMILIES, MAX_STORED, UNKNOWN
from stats.models import (
    KIND_COLUMNS,
    MINUTE,
    SESSION_COLUMNS,
    AgentStat,
    Snapshot,
    WorkspaceState,
)
from stats.states import STATES

WINDOW = timedelta(minutes=15)
# Up to this number of rows, percentiles are exact.
MAX_EXACT_ROWS = 20_000
ERROR = 0.0095
LOG_RATIO = math.log((1 + ERROR) / (1 - ERROR))
NO_SAMPLE = -1.0
P50, P95 = 0.5, 0.95

# The statistics of a window without rows. Units: traffic in bytes; latency in milliseconds, -1 if
# none was measured.
NO_AGENTS: dict[str, Any] = {
    "row_count": 0,
    "rx_bytes": 0,
    "tx_bytes": 0,
    "latency_p50_ms": NO_SAMPLE,
    "latency_p95_ms": NO_SAMPLE,
    "session_counts": dict.fromkeys(FAMILIES, 0),
    "latency_method": Snapshot.Method.EXACT,
}

# If this experiment is enabled, agents report their sessions in usage rows.
USAGE_EXPERIMENT = "workspace-usage"
_COLUMNS = ", ".join(SESSION_COLUMNS)
_KIND_SUMS = ", ".join(f"coalesce(sum({name}), 0)" for name in KIND_COLUMNS)
# Sums the sessions of the rows in `counted`: of the four applications that have columns, and of the
# others as a JSON object. `known` is false if the sessions of a row are unknown.
_SESSIONS = f"""
named AS (
    SELECT key AS name, sum(value::numeric) AS n, row_number() OVER (
        ORDER BY sum(value::numeric) DESC, key) AS place
    FROM counted, jsonb_each_text(other_sessions)
    WHERE other_sessions IS NOT NULL GROUP BY key
), others AS (
    SELECT CASE WHEN place <= {MAX_STORED} THEN name ELSE '{UNKNOWN}' END AS name, sum(n) AS n
    FROM named GROUP BY 1
), sessions AS (
    SELECT coalesce(bool_and({KIND_COLUMNS[0]} IS NOT NULL), true) AS known, ARRAY[{_KIND_SUMS}],
           (SELECT json_object_agg(name, least(n, {MAX_INTEGER}))::text FROM others)
    FROM counted
)
"""  # noqa: S608 - the names are constants of this package
_IN_WINDOW = "created_at > %(start)s AND created_at <= %(at)s"
# One statement computes all statistics, so that they see the same state of the tables. An agent is
# looked up in its rows only if the newest of them is later than `at`. The LIMIT removes no rows. It
# only shows the planner that there are few rows. Without the LIMIT, PostgreSQL would compile the
# statement (JIT) first, which takes longer.
_AGENT_STATISTICS = f"""
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
    SELECT * FROM stats_rollup
    WHERE span_seconds = 60 AND starts_at >= %(first)s AND starts_at < %(last)s
), total AS MATERIALIZED (
    SELECT sum(n) AS n, sum(rx) AS rx, sum(tx) AS tx FROM (
        SELECT row_count, measured_rx_bytes, measured_tx_bytes FROM minutes UNION ALL
        SELECT 0, unmeasured_rx_bytes, unmeasured_tx_bytes FROM minutes WHERE NOT %(from_usage)s
        UNION ALL
        SELECT n, CASE WHEN bucket IS NOT NULL OR NOT %(from_usage)s THEN rx END,
               CASE WHEN bucket IS NOT NULL OR NOT %(from_usage)s THEN tx END FROM edges
    ) AS parts (n, rx, tx)
), histogram AS MATERIALIZED (
    SELECT bucket, sum(n) AS n FROM (
        SELECT bucket, n FROM edges WHERE bucket IS NOT NULL UNION ALL
        SELECT each.* FROM minutes, unnest(latency_buckets, latency_counts) AS each
    ) AS parts (bucket, n) GROUP BY bucket
), exact AS (
    SELECT percentile_cont(ARRAY[{P50}, {P95}]::float8[])
           WITHIN GROUP (ORDER BY latency) AS percentiles
    FROM (
        SELECT connection_median_latency_ms FROM stats_agentstat
        WHERE {_IN_WINDOW} AND latency_bucket IS NOT NULL
          AND (SELECT n FROM total) <= %(max_exact_rows)s
        LIMIT %(max_exact_rows)s
    ) AS few (latency)
), counted AS (
    SELECT {_COLUMNS} FROM stats_newestagentstat
    WHERE {_IN_WINDOW}
    UNION ALL
    SELECT before.* FROM stats_newestagentstat AS newest, LATERAL (
        SELECT {_COLUMNS} FROM stats_agentstat
        WHERE agent_id = newest.agent_id AND {_IN_WINDOW}
        ORDER BY created_at DESC, id DESC LIMIT 1
    ) AS before
    WHERE newest.created_at > %(at)s
), {_SESSIONS}
SELECT coalesce(n, 0), coalesce(rx, 0), coalesce(tx, 0),
       ARRAY(SELECT bucket FROM histogram ORDER BY bucket),
       ARRAY(SELECT n::bigint FROM histogram ORDER BY bucket),
       (SELECT percentiles FROM exact), sessions.*
FROM total, sessions
"""  # noqa: S608 - the names are constants of this package

_WITHOUT_STATE = f"""
SELECT count(DISTINCT workspace_id) FROM stats_newestagentstat AS newest
WHERE created_at > %(start)s AND (created_at <= %(at)s OR EXISTS (
    SELECT FROM stats_agentstat WHERE agent_id = newest.agent_id AND {_IN_WINDOW}
)) AND NOT EXISTS (
    SELECT FROM stats_workspacestate WHERE workspace_id = newest.workspace_id)
"""  # noqa: S608 - the names are constants of this package

# For each agent, sums the usage rows of its newest finished minute that has usage rows. An agent
# reports its sessions in several usage rows.
_USAGE = f"""
WITH counted AS (
    SELECT * FROM (
        SELECT *, rank() OVER (
            PARTITION BY agent_id ORDER BY date_trunc('minute', created_at, 'UTC') DESC) AS place
        FROM stats_agentstat
        WHERE is_usage AND created_at > %(start)s AND created_at < %(last)s
    ) AS ranked WHERE place = 1
), {_SESSIONS}
SELECT * FROM sessions
"""  # noqa: S608 - the names are constants of this package


def configured_usage() -> bool:
    """Returns whether the experiments of this service include USAGE_EXPERIMENT."""
    return USAGE_EXPERIMENT in map(str.lower, settings.EXPERIMENTS)


# Returns whether sessions are counted from usage rows. The source of the rows decides this, and an
# app of a higher layer may replace this function, because only this app knows the source.
counts_usage: Callable[[], bool] = configured_usage


def agent_statistics(at: datetime) -> dict[str, Any]:
    """Returns the statistics of the agent rows in the window. Shape: the same keys as NO_AGENTS."""
    from_usage = counts_usage()
    values = {**_window(at), "max_exact_rows": MAX_EXACT_ROWS, "from_usage": from_usage}
    (found,) = fetch_rows(_AGENT_STATISTICS, values)
    number, rx, tx, buckets, counts, exact, *sessions = found
    p50, p95 = exact or percentiles(buckets, counts)
    if from_usage:
        ((*sessions,),) = fetch_rows(_USAGE, values)
    return {
        "row_count": int(number),
        "rx_bytes": min(int(rx), MAX_INTEGER),
        "tx_bytes": min(int(tx), MAX_INTEGER),
        "latency_p50_ms": p50,
        "latency_p95_ms": p95,
        "session_counts": _session_counts(*sessions),
        "latency_method": Snapshot.Method.EXACT
        if number <= MAX_EXACT_ROWS
        else Snapshot.Method.HISTOGRAM,
    }


def _window(at: datetime) -> dict[str, Any]:
    start = at - WINDOW
    return {
        "start": start,
        "first": floor(start, MINUTE) + MINUTE,
        "last": floor(at, MINUTE),
        "at": at,
    }


def _session_counts(known: bool, sums: Sequence[Any], others: str | None) -> dict[str, int]:
    """Returns the number of sessions by application, or {} if it is unknown."""
    if not known:
        return {}
    kinds = {kind: min(int(n), MAX_INTEGER) for kind, n in zip(FAMILIES, sums, strict=True)}
    return kinds | (orjson.loads(others) if others else {})


def workspace_counts(at: datetime) -> dict[str, int]:
    """Counts workspaces by their current states.

    A workspace without a state counts as running if one of its agents reported in the window.
    """
    counts = WorkspaceState.objects.counts()
    ((without_state,),) = fetch_rows(_WITHOUT_STATE, _window(at))
    return counts | {"running": counts["running"] + without_state}


def reporting_workspace_counts(at: datetime) -> dict[str, int]:
    """Returns workspace counts for a time in the past, for which the states are unknown.

    Workspaces with an agent row in the window count as running. The other counts are 0.
    """
    rows = AgentStat.objects.filter(created_at__gt=at - WINDOW, created_at__lte=at)
    running = rows.values("workspace_id").distinct().count()
    return dict.fromkeys(STATES, 0) | {"running": running}


def _bucket_latency(bucket: int) -> float:
    """Returns the latency that represents a bucket. Units: ms."""
    return math.exp(bucket * LOG_RATIO) * (1 + ERROR)


def percentiles(buckets: Sequence[int], counts: Sequence[int]) -> tuple[float, float]:
    """Returns the percentiles P50 and P95 of a histogram, or -1 if it is empty.

    Interpolates between bucket values. `buckets` must be sorted. `counts` are their rows.
    """
    if not buckets:
        return NO_SAMPLE, NO_SAMPLE
    ranks = list(accumulate(counts))
    return _percentile(buckets, ranks, P50), _percentile(buckets, ranks, P95)


def _percentile(buckets: Sequence[int], ranks: Sequence[int], fraction: float) -> float:
    position = fraction * (ranks[-1] - 1)
    low, high = (
        _bucket_latency(buckets[bisect_right(ranks, rank)])
        for rank in (math.floor(position), math.ceil(position))
    )
    return low + (high - low) * (position - math.floor(position))
