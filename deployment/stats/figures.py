"""The figures of one window: from whole minutes, slices and raw rows at its edges, newest rows.

The window is (at - 15 minutes, at]. Traffic and latency come from its rows with a latency above 0;
sessions from the newest row of each agent in it; workspaces from what is known of them now.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import connection
from django.db.backends.utils import CursorWrapper

from deployment.stats import percentiles
from deployment.stats.cells import MINUTE, floor
from deployment.stats.folding import BUCKET, SESSION_COLUMNS, SLICE, UNMEASURED
from deployment.stats.models import Snapshot

WINDOW = timedelta(minutes=15)
# Up to so many rows, percentiles are taken from the rows themselves.
MOST_EXACT_ROWS = 20_000
# Whole numbers that come to less are added up exactly as floating point, in half the time.
MOST_EXACT_FLOAT = 2**53
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

_NEWEST_SUMS = ", ".join(
    f"sum({name}::{{number}}) FILTER (WHERE created_at <= %(at)s) AS {name}"
    for name in SESSION_COLUMNS
)

# One statement, so that all figures are of one state of the tables. The subquery of a CASE is run
# only if needed. Of an agent that has reported since `at`, the newest row until then is looked up.
_AGENTS = f"""
WITH edges AS MATERIALIZED (
    SELECT bucket, sum(row_count) AS row_count, sum(rx_bytes) AS rx_bytes, sum(tx_bytes) AS tx_bytes
    FROM (
        SELECT bucket, row_count, rx_bytes, tx_bytes FROM deployment_slicesum
        WHERE slice >= %(start_slice)s AND slice < %(first)s
           OR slice >= %(last)s AND slice < %(end_slice)s
        UNION ALL
        SELECT CASE WHEN connection_median_latency_ms > 0 THEN {BUCKET} ELSE {UNMEASURED} END,
               count(*), sum(rx_bytes), sum(tx_bytes)
        FROM (
            SELECT rx_bytes, tx_bytes, connection_median_latency_ms FROM deployment_agentstat
            WHERE created_at > %(start)s AND created_at < %(start_slice)s
            UNION ALL
            SELECT rx_bytes, tx_bytes, connection_median_latency_ms FROM deployment_agentstat
            WHERE created_at >= %(end_slice)s AND created_at <= %(at)s
        ) AS arrived GROUP BY 1
    ) AS counted GROUP BY bucket
), parts AS (
    SELECT row_count, rx_bytes, tx_bytes FROM deployment_minutesum
    WHERE minute >= %(first)s AND minute < %(last)s
    UNION ALL
    SELECT sum(row_count), sum(rx_bytes) FILTER (WHERE bucket <> {UNMEASURED}),
           sum(tx_bytes) FILTER (WHERE bucket <> {UNMEASURED})
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
        SELECT bucket, row_count FROM edges WHERE bucket <> {UNMEASURED}
    ) AS counted GROUP BY bucket ORDER BY bucket
), newest AS MATERIALIZED (
    SELECT array_agg(agent_id) FILTER (WHERE created_at > %(at)s) AS overtaken, {_NEWEST_SUMS}
    FROM deployment_newestagentstat WHERE created_at > %(start)s
), sessions AS (
    SELECT {", ".join(SESSION_COLUMNS)} FROM newest
    UNION ALL
    SELECT before.* FROM newest, unnest(overtaken) AS overtaken_id CROSS JOIN LATERAL (
        SELECT {", ".join(SESSION_COLUMNS)} FROM deployment_agentstat
        WHERE agent_id = overtaken_id AND created_at > %(start)s AND created_at <= %(at)s
        ORDER BY created_at DESC, id DESC LIMIT 1
    ) AS before
)
SELECT row_count, rx_bytes, tx_bytes,
    CASE WHEN row_count <= %(most)s THEN (
        SELECT percentile_cont(ARRAY[{P50}, {P95}])
               WITHIN GROUP (ORDER BY connection_median_latency_ms)
        FROM deployment_agentstat
        WHERE created_at > %(start)s AND created_at <= %(at)s AND connection_median_latency_ms > 0
    ) END,
    (SELECT coalesce(array_agg(ARRAY[bucket, row_count]), '{{}}') FROM buckets),
    (SELECT ARRAY[{", ".join(f"coalesce(sum({c}), 0)" for c in SESSION_COLUMNS)}] FROM sessions)
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


# The minutes whose slices are all there. Slices go by whole minutes.
_SLICED = """
SELECT minute FROM deployment_minutesum
WHERE minute = ANY(%s::timestamptz[]) AND row_count = sliced_count AND EXISTS (
    SELECT FROM deployment_slicesum WHERE slice >= minute AND slice < minute + INTERVAL '1 minute'
)
"""


def agent_figures(at: datetime, *, most_exact_rows: int = MOST_EXACT_ROWS) -> AgentFigures:
    """What the agents' rows of (at - 15 minutes, at] come to."""
    start = at - WINDOW
    with connection.cursor() as cursor:
        # With very many rows it would compile the statement, which takes longer than all else.
        cursor.execute("SET LOCAL jit = off")
        cursor.execute(_SLICED, [[_minute(start), _minute(at)]])
        sliced = {minute for (minute,) in cursor.fetchall()}
        window = _parts(start, at, sliced=sliced) | {"most": most_exact_rows}
        rows, rx, tx, exact, histogram, sessions = _figures(cursor, window, number="float8")
        if max(sessions) >= MOST_EXACT_FLOAT:
            rows, rx, tx, exact, histogram, sessions = _figures(cursor, window, number="numeric")
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


def _figures(
    cursor: CursorWrapper, window: dict[str, datetime | int], *, number: str
) -> tuple[Any, ...]:
    """What `_AGENTS` finds, with sessions added up as that kind of number."""
    cursor.execute(_AGENTS.replace("{number}", number), window)
    row: tuple[Any, ...] = cursor.fetchone()
    return row


def _parts(start: datetime, at: datetime, *, sliced: set[datetime]) -> dict[str, datetime | int]:
    """Where the parts of a window meet: raw rows, slices, whole minutes, slices, raw rows.

    A minute whose slices are not there has none but raw rows.
    """
    first, last = _minute(start) + MINUTE, _minute(at)
    return {
        "start": start,
        "start_slice": floor(start, SLICE) + SLICE if _minute(start) in sliced else first,
        "first": first,
        "last": last,
        "end_slice": floor(at, SLICE) if last in sliced else last,
        "at": at,
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


# Of each agent with a row in the window, the newest of its minutes that are full; the first one,
# which the window cuts, counts with the rows that are left of it.
_USAGE = f"""
WITH cut AS MATERIALIZED (
    SELECT agent_id, {", ".join(f"sum({name}) AS {name}" for name in SESSION_COLUMNS)}
    FROM deployment_agentstat
    WHERE created_at > %(start)s AND created_at < %(first)s AND usage GROUP BY agent_id
)
SELECT {", ".join(f"coalesce(sum(coalesce(full_.{c}, cut.{c})), 0)" for c in SESSION_COLUMNS)}
FROM deployment_newestagentstat AS known LEFT JOIN cut USING (agent_id) LEFT JOIN LATERAL (
    SELECT {", ".join(SESSION_COLUMNS)} FROM deployment_usageminute
    WHERE agent_id = known.agent_id AND minute >= %(first)s AND minute < %(last)s
    ORDER BY minute DESC LIMIT 1
) AS full_ ON true
WHERE known.created_at > %(start)s
"""  # noqa: S608 - the names are constants of this package


def usage_sessions(at: datetime) -> dict[str, int]:
    """Sessions by kind as rows of usage tell: of each agent, those of its newest full minute.

    An agent tells of its sessions in several such rows, so a minute's rows are added up.
    """
    window = {"start": at - WINDOW, "first": _minute(at - WINDOW) + MINUTE, "last": _minute(at)}
    with connection.cursor() as cursor:
        cursor.execute(_USAGE, window)
        return dict(zip(KINDS, map(int, cursor.fetchone()), strict=True))


def workspace_figures() -> WorkspaceFigures:
    """How many workspaces are in each state, by the job of their newest build."""
    with connection.cursor() as cursor:
        cursor.execute(_WORKSPACES)
        row: Any = cursor.fetchone()
    names = ("pending", "building", "running", "failed", "stopped")
    return WorkspaceFigures(**dict(zip(names, row, strict=True)))
