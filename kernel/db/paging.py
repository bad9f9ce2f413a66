"""Reads long lists in pages, with one query for each page.

A server-side cursor would hold a connection while the client reads, and would not work through
PgBouncer in transaction mode.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any

import django.db
import orjson
from django.db.models import Q, QuerySet
from psycopg import sql

from kernel.db.connections import RETRY_PAUSE_SECONDS, is_busy
from kernel.db.sql import fetch_rows

PAGE_ROWS = 1_000
# This is longer than the usual timeout, because the status cannot change to 503 after a part of the
# list was sent.
BUSY_SECONDS = 10.0


type Condition = tuple[str, Sequence[object]]


def where(conditions: Iterable[Condition]) -> tuple[str, list[object]]:
    """Joins SQL conditions with AND. Returns the SQL text and its values."""
    texts = ["true", *(text for text, _ in conditions)]
    return " AND ".join(texts), [value for _, values in conditions for value in values]


# Reads up to `limit` rows after the given row. For None, reads the first rows.
type Read[R] = Callable[[R | None, int], Sequence[R]]


def in_pages[R](rows: QuerySet[Any, R], *, after: Callable[[R], Q]) -> Iterator[Sequence[R]]:
    """Yields the ordered rows in pages. `after(row)` returns a filter for later rows."""

    def read(last: R | None, limit: int) -> Sequence[R]:
        return list((rows if last is None else rows.filter(after(last)))[:limit])

    return pages(read)


def stored_pages(table: str, *, key: Sequence[str]) -> Iterator[list[dict[str, Any]]]:
    """Yields every row of the table in pages: each partition in the order of the columns in `key`.

    A row has the columns that the table really has. So this also works if another release of
    coderapi created the table.
    """
    for (name,) in fetch_rows(_PARTITIONS, [table]):
        for page in pages(partial(_rows_after, name, key)):
            yield [orjson.loads(row) for row, *_ in page]


# One query for each partition, because a query that reads all partitions locks all of them.
_PARTITIONS = "SELECT relid::regclass::text FROM pg_partition_tree(%s) WHERE isleaf ORDER BY 1"


def _rows_after(name: str, key: Sequence[str], last: Any, limit: int) -> Sequence[Any]:
    columns = sql.SQL(", ").join(map(sql.Identifier, key))
    values = sql.SQL(", ").join(map(sql.Literal, last[1:] if last else ()))
    after = sql.SQL("({}) > ({})" if last else "true").format(columns, values)
    query = sql.SQL("SELECT to_jsonb(t)::text, {0} FROM {1} t WHERE {2} ORDER BY {0} LIMIT {3}")
    return fetch_rows(query.format(columns, sql.SQL(name), after, limit))


def pages[R](read: Read[R]) -> Iterator[Sequence[R]]:
    """Yields the pages of a list."""
    page = read(None, PAGE_ROWS)
    while page:
        yield page
        page = _next_page(read, page[-1]) if len(page) == PAGE_ROWS else []


def _next_page[R](read: Read[R], last: R) -> Sequence[R]:
    """Reads a page. Retries for ten seconds while all connections are in use."""
    until = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            return read(last, PAGE_ROWS)
        except django.db.OperationalError as error:
            if not is_busy(error) or time.monotonic() > until:
                raise
        time.sleep(RETRY_PAUSE_SECONDS)
