"""Divides the connections that PostgreSQL allows. Jobs get theirs before requests do."""

from __future__ import annotations

from typing import Any

from django.conf import settings

from kernel.db.connections import MIN_POOL_SIZE
from kernel.db.sql import fetch_rows

# For each web process: two to receive notifications, one to write CSP reports.
OF_PROCESS = 3
# Two for each job that runs. More than six jobs rarely run at the same time.
FOR_JOBS = 12
FOR_METRICS = 1

# `max_connections` without the reserved ones, or the limit of the role or of the database.
CAPACITY = """
SELECT least(
    current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
    - coalesce(current_setting('reserved_connections', true), '0')::int,
    nullif(datconnlimit, -1), nullif(rolconnlimit, -1)
) AS capacity, (SELECT sum(numbackends) FROM pg_stat_database)::int AS used
FROM pg_database, pg_roles WHERE datname = current_database() AND rolname = current_user
"""


def free_connections() -> float:
    """Returns how many connections PostgreSQL can still accept from the service's role."""
    [(capacity, used)] = fetch_rows(CAPACITY)
    return float(max(0, capacity - used))


def fit_pools(cursor: Any, *, processes: int) -> str:
    """Makes the pools of the web processes smaller if the connections do not suffice for all.

    Call it before the processes start. Returns a warning, or "" if the connections suffice.
    """
    if settings.DIRECT_DATABASE_URL != settings.DATABASE_URL:
        return ""  # The pools are connected to PgBouncer, which has its own limits.
    cursor.execute(CAPACITY)
    capacity, _ = cursor.fetchone()
    pool = settings.DATABASES["default"]["OPTIONS"]["pool"]
    requests, others = pool["max_size"] * processes, OF_PROCESS * processes
    needed = requests + others + FOR_JOBS + FOR_METRICS
    if needed <= capacity:
        return ""
    left = (capacity - (needed - requests)) // processes
    pool["max_size"] = max(MIN_POOL_SIZE, min(pool["max_size"], left))
    pool["min_size"] = min(pool["min_size"], pool["max_size"])
    return (
        f"This server needs up to {needed} connections to PostgreSQL, but can have only {capacity} "
        "(max_connections without the reserved ones, or the connection limit of the role or of "
        f"the database). It needs {requests} for requests, {others} for notifications and CSP "
        f"reports, {FOR_JOBS} for jobs and {FOR_METRICS} for metrics. Requests now have only "
        f"{pool['max_size'] * processes}, so that the jobs run. Increase max_connections, or "
        "decrease CODER_PG_CONN_MAX_OPEN or CODERAPI_WEB_WORKERS."
    )
