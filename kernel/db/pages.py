"""Reads many rows a page at a time, each page by a query of its own.

No cursor is kept open between them: PgBouncer would lose it, and it would hold a connection.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import django.db
from django.db.models import Q, QuerySet

from kernel.db.connections import is_busy

PAGE_ROWS = 1_000
# Whoever has read some pages waits longer for a connection than others: it cannot be told 503.
BUSY_SECONDS = 10.0
PAUSE_SECONDS = 0.1


def in_pages[R](
    rows: QuerySet[Any, R], *, after: Callable[[R], Q], offset: int = 0
) -> Iterator[Sequence[R]]:
    """Yields the ordered rows in pages. `after` tells the rows that follow a row."""
    page = list(rows[offset : offset + PAGE_ROWS])
    while page:
        yield page
        last = page[-1] if len(page) == PAGE_ROWS else None
        page = _next_page(rows.filter(after(last))) if last is not None else []


def _next_page[R](rows: QuerySet[Any, R]) -> list[R]:
    """Reads a page, again and again while all connections are busy, for some seconds."""
    until = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            return list(rows[:PAGE_ROWS])
        except django.db.OperationalError as error:
            if not is_busy(error) or time.monotonic() > until:
                raise
        time.sleep(PAUSE_SECONDS)
