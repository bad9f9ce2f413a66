"""Compares the tables of a database with Django's models."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.db.backends.postgresql.base import DatabaseWrapper
from django.db.models import Model

# Only for the types of columns. `restore` runs without a database of Django.
_POSTGRESQL = DatabaseWrapper({})

# `needs_value` is true if PostgreSQL rejects rows without a value for the column.
_COLUMNS = """
SELECT relname::text, attname::text, atttypid::bigint, format_type(atttypid, NULL),
    attnotnull AND NOT atthasdef AND attidentity = '' AS needs_value
FROM unnest(%s::text[]) name
JOIN pg_class c ON c.oid = to_regclass(quote_ident(name))
JOIN pg_attribute a ON a.attrelid = c.oid AND attnum > 0 AND NOT attisdropped
"""
_TYPES = "SELECT name, to_regtype(name)::oid::bigint FROM unnest(%s::text[]) name"


def first_difference(cursor: Any, models: Iterable[type[Model]]) -> str:
    """Returns why the database cannot store rows of these models, or "" if it can.

    Tables and columns that only the database has are allowed, because a newer release may have
    added them. But then a new row must not need a value for them.
    """
    wanted = {
        model._meta.db_table: {
            str(field.column): field.db_type(_POSTGRESQL) or ""
            for field in model._meta.local_concrete_fields
        }
        for model in models
        if model._meta.managed and not model._meta.proxy
    }
    types = {name for columns in wanted.values() for name in columns.values()}
    cursor.execute(_TYPES, [[*types]])
    type_ids = dict(cursor.fetchall())
    cursor.execute(_COLUMNS, [[*wanted]])
    found: dict[str, dict[str, Any]] = {}
    for table, column, *details in cursor.fetchall():
        found.setdefault(table, {})[column] = details
    for table in sorted(wanted):
        expected = {name: (kind, type_ids[kind]) for name, kind in wanted[table].items()}
        if problem := _difference_of_table(table, expected, found.get(table, {})):
            return problem
    return ""


def _difference_of_table(
    table: str, wanted: dict[str, tuple[str, int]], found: dict[str, Any]
) -> str:
    if not found:
        return f"the table {table} is missing"
    for column, (kind, type_id) in wanted.items():
        if column not in found:
            return f"the table {table} has no column {column}"
        if found[column][0] != type_id:
            return f"{table}.{column} has the type {found[column][1]} instead of {kind}"
    unknown = (name for name in found if name not in wanted and found[name][2])
    if name := next(unknown, None):
        return f"{table}.{name} needs a value in each row, but is unknown"
    return ""
