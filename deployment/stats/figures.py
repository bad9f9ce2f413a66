"""The figures of one window: from whole minutes, slices and raw rows at its edges, newest rows.

The window is (at - 15 minutes, at]. Traffic and latency come from its rows with a latency above 0;
sessions from the newest row of each agent in it; workspaces from what is known of them now.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db import connection

from deployment.stats import percentiles
from deployment.stats.cells import MINUTE
from deployment.stats.folding import SESSION_COLUMNS
from deployment.stats.models import Snapshot

WINDOW = timedelta(minutes=15)
# Up to so many rows, percentiles are taken from the rows themselves.
MOST_EXACT_ROWS = 20_000
P50, P95 = 0.5, 0.95
MOST = 2**63 - 1
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

# One function, so that all figures are of one state of the tables, and the session keeps its plans:
# planning took as long as all that is planned. Migration 0010 has it.
_AGENTS = """
SELECT row_count, rx_bytes, tx_bytes, histogram, percentiles, sessions
FROM deployment_agent_figures(%s, %s, %s)
"""

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
    with connection.cursor() as cursor:
        cursor.execute(_AGENTS, [at - WINDOW, at, most_exact_rows])
        rows, rx, tx, histogram, exact, sessions = cursor.fetchone()
    p50, p95 = _percentiles(exact, histogram, in_rows=rows <= most_exact_rows)
    return AgentFigures(
        row_count=int(rows),
        rx_bytes=min(int(rx), MOST),
        tx_bytes=min(int(tx), MOST),
        latency_p50=p50,
        latency_p95=p95,
        session_counts=_session_counts(sessions),
        latency_histogram=histogram,
        method=Snapshot.Method.EXACT if rows <= most_exact_rows else Snapshot.Method.HISTOGRAM,
    )


def _session_counts(sums: Sequence[Decimal]) -> dict[str, int]:
    return {kind: min(int(n), MOST) for kind, n in zip(KINDS, sums, strict=True)}


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
        return _session_counts(cursor.fetchone())


def workspace_figures() -> WorkspaceFigures:
    """How many workspaces are in each state, by the job of their newest build."""
    with connection.cursor() as cursor:
        cursor.execute(_WORKSPACES)
        row: Any = cursor.fetchone()
    names = ("pending", "building", "running", "failed", "stopped")
    return WorkspaceFigures(**dict(zip(names, row, strict=True)))
