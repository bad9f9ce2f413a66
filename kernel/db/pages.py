"""Reads long lists in pages, with one query for each page.

A server-side cursor would hold a connection while the client reads, and would not work through
PgBouncer in transaction mode.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import django.db
from django.db.models import Q, QuerySet

from kernel.db.connections import RETRY_PAUSE_SECONDS, is_busy

PAGE_ROWS = 1_000
# This is longer than the usual timeout, because the status cannot change to 503 after a part of the
# list was sent.
BUSY_SECONDS = 10.0


def in_pages[R](
    rows: QuerySet[Any, R], *, after: Callable[[R], Q], offset: int = 0
) -> Iterator[Sequence[R]]:
    """Yields the ordered rows in pages. `after(row)` returns a filter for later rows."""
    page = list(rows[offset : offset + PAGE_ROWS])
    while page:
        yield page
        last = page[-1] if len(page) == PAGE_ROWS else None
        page = _next_page(rows.filter(after(last))) if last is not None else []


def _next_page[R](rows: QuerySet[Any, R]) -> list[R]:
    """Reads a page. Retries for ten seconds while all connections are in use."""
    until = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            return list(rows[:PAGE_ROWS])
        except django.db.OperationalError as error:
            if not is_busy(error) or time.monotonic() > until:
                raise
        time.sleep(RETRY_PAUSE_SECONDS)
