"""Reads many rows a page at a time, each page by a query of its own.

No cursor is kept open between them: PgBouncer would lose it, and it would hold a connection.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from django.db.models import Q, QuerySet

PAGE_ROWS = 1_000


def in_pages[R](
    rows: QuerySet[Any, R], *, after: Callable[[R], Q], offset: int = 0
) -> Iterator[Sequence[R]]:
    """Yields the ordered rows in pages. `after` tells the rows that follow a row."""
    page = list(rows[offset : offset + PAGE_ROWS])
    while page:
        yield page
        last = page[-1] if len(page) == PAGE_ROWS else None
        page = list(rows.filter(after(last))[:PAGE_ROWS]) if last is not None else []
