"""The trail as JSON lines."""

from __future__ import annotations

from collections.abc import Iterator

import orjson
from django.db.models import QuerySet

from audit.models import Entry

PAGE = 1_000
FIELDS = tuple(field.attname for field in Entry._meta.concrete_fields)


def json_lines(entries: QuerySet[Entry]) -> Iterator[bytes]:
    """Yields every entry by id, read page by page: PgBouncer would lose a cursor."""
    ordered = entries.order_by("id").values(*FIELDS)
    page = list(ordered[:PAGE])
    while page:
        for row in page:
            yield orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE | orjson.OPT_UTC_Z)
        page = list(ordered.filter(id__gt=page[-1]["id"])[:PAGE])
