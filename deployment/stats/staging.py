"""Rows on their way in: by COPY, to their table or to one that lives as long as the transaction."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import orjson
from django.db import connection

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


def copied(table: str, *, columns: Sequence[str], pieces: Iterable[bytes]) -> None:
    """Puts rows, as `csv_lines` makes them, into the table by COPY.

    While the database takes one piece in, the next can be made.
    """
    statement = f"COPY {table} ({', '.join(columns)}) FROM STDIN (FORMAT csv, ESCAPE '\\')"
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        for piece in pieces:
            copy.write(piece)


def csv_lines(rows: Iterable[Sequence[Any]]) -> bytes:
    """The rows as COPY takes them. None of the values is None.

    A JSON array without its brackets is a line of CSV, once a backslash is what escapes.
    """
    return b"".join([orjson.dumps(row)[1:-1] + b"\n" for row in rows])


def array(values: Iterable[Any]) -> str:
    """PostgreSQL's notation of an array of UUIDs, numbers or times, quicker than by adaption.

    It is JSON's but for the brackets. Numbers may be beyond 64 bits, which orjson does not write.
    """
    items = list(values)
    try:
        return f"{{{orjson.dumps(items)[1:-1].decode()}}}"
    except orjson.JSONEncodeError:
        return f"{{{','.join(map(str, items))}}}"
