"""Runs SQL statements on Django's connection."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django.db import connection
from psycopg.sql import Composable

# The largest value of a column of the type bigint.
MAX_INTEGER = 2**63 - 1

type Statement = str | Composable
type Values = Sequence[Any] | Mapping[str, Any]


def fetch_rows(statement: Statement, values: Values | None = None) -> list[tuple[Any, ...]]:
    """Runs a statement. Returns its rows."""
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        return list(cursor.fetchall())


def execute(statement: Statement, values: Values | None = None) -> int:
    """Runs a statement. Returns the number of rows that it has changed."""
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        return int(cursor.rowcount)
