"""Rows on their way in: sent by COPY to a table that lives as long as the transaction."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from django.db import connection

AGENT_COLUMNS = {
    "id": "uuid",
    "created_at": "timestamptz",
    "user_id": "uuid",
    "agent_id": "uuid",
    "workspace_id": "uuid",
    "template_id": "uuid",
    "connections_by_proto": "jsonb",
    "connection_count": "bigint",
    "rx_packets": "bigint",
    "rx_bytes": "bigint",
    "tx_packets": "bigint",
    "tx_bytes": "bigint",
    "session_count_vscode": "bigint",
    "session_count_jetbrains": "bigint",
    "session_count_reconnecting_pty": "bigint",
    "session_count_ssh": "bigint",
    "connection_median_latency_ms": "double precision",
    "usage": "boolean",
}
WORKSPACE_COLUMNS = {
    "workspace_id": "uuid",
    "deleted": "boolean",
    "build_number": "bigint",
    "transition": "text",
    "job_started_at": "timestamptz",
    "job_canceled_at": "timestamptz",
    "job_completed_at": "timestamptz",
    "job_updated_at": "timestamptz",
    "error": "text",
}


@contextmanager
def staged(table: str, *, columns: dict[str, str], rows: Iterable[Sequence[Any]]) -> Iterator[None]:
    """The rows in a temporary table of that name, numbered by their first value `row_number`."""
    declared = ", ".join(f"{name} {kind}" for name, kind in columns.items())
    with connection.cursor() as cursor:
        cursor.execute(
            f"CREATE TEMPORARY TABLE {table} (row_number bigint, {declared}) ON COMMIT DROP"
        )
        with cursor.copy(f"COPY {table} FROM STDIN") as copy:
            for row in rows:
                copy.write_row(row)
    yield
    with connection.cursor() as cursor:
        cursor.execute(f"DROP TABLE {table}")
