"""The rows of a database's tables, of which a partitioned table is one."""

from __future__ import annotations

from typing import Any

import psycopg

END_OTHERS = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()
"""
TABLES = """
SELECT c.oid::regclass::text FROM pg_class c
WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition
"""


def query(url: str, statement: str, *values: Any) -> list[Any]:
    """Runs a statement. Returns its rows, if it has any."""
    with psycopg.connect(url, autocommit=True) as connection:
        found = connection.execute(statement.encode(), values or None)
        # A row may have no columns.
        return [] if found.description is None else found.fetchall()


def row_counts(url: str) -> dict[str, int]:
    """Returns the number of rows of each table."""
    names = [name for (name,) in query(url, TABLES)]
    return {name: query(url, f"SELECT count(*) FROM {name}")[0][0] for name in names}  # noqa: S608


def empty_tables(url: str) -> list[str]:
    return [name for name, rows in row_counts(url).items() if not rows]
