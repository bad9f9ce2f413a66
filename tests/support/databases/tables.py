"""The rows of a database's tables, of which a partitioned table is one."""

from __future__ import annotations

import psycopg

TABLES = """
SELECT c.oid::regclass::text FROM pg_class c
WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition
"""


def row_counts(url: str) -> dict[str, int]:
    """Returns the number of rows of each table."""
    with psycopg.connect(url) as connection:
        names = [name for (name,) in connection.execute(TABLES)]
        rows = [connection.execute(f"SELECT count(*) FROM {name}").fetchone() for name in names]  # noqa: S608
        return {name: row[0] for name, row in zip(names, rows, strict=True) if row}


def empty_tables(url: str) -> list[str]:
    return [name for name, rows in row_counts(url).items() if not rows]
