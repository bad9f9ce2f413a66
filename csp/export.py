"""Exports rows as JSON lines or as CSV. Reads one page of rows at a time."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import orjson
from django.contrib.postgres.fields import ArrayField
from django.db.models import BinaryField, Model, Q, QuerySet
from django.db.models.expressions import Combinable
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from kernel.db.paging import in_pages
from kernel.http.views.base import download

# A spreadsheet program treats a cell as a formula if it begins with one of these characters. East
# Asian versions also accept the full-width characters. Any client can send a report with such a
# value, so `safe_cell` writes a quote before the value.
FORMULA_STARTS = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20", "\t", "\r", "\n")
# Columns that only order rows. They are derived from a version.
RANKS = frozenset({"oldest_version_rank", "rank"})


def rows_in_pages(queryset: QuerySet[Any], fields: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Yields the given columns of every row, ordered by `id`, which must be one of them."""
    ordered = queryset.order_by("id").values(*fields)
    for page in in_pages(ordered, after=lambda row: Q(id__gt=row["id"])):
        yield from page


def safe_cell(value: Any) -> Any:
    if isinstance(value, str) and value.startswith(FORMULA_STARTS):
        return f"'{value}"
    return value


class _Echo:
    """A file for `csv.writer`. It returns each line instead of storing it."""

    def write(self, text: str) -> bytes:
        return text.encode()


def csv_lines(rows: Iterable[dict[str, Any]], fields: Sequence[str]) -> Iterator[bytes]:
    # Quote all cells. Otherwise, a program that splits lines at semicolons could split a cell, and
    # the second part could be a formula.
    writer: Any = csv.writer(_Echo(), quoting=csv.QUOTE_ALL)
    yield writer.writerow(fields)
    for row in rows:
        yield writer.writerow([safe_cell(row[name]) for name in fields])


type Computed = Mapping[str, Callable[[dict[str, Any]], str]]


def exported(
    request: HttpRequest,
    queryset: QuerySet[Any],
    kind: str,
    *,
    columns: Mapping[str, Combinable],
    computed: Computed,
) -> HttpResponseBase:
    """Returns the rows as a file to download. `kind` is `csv` or `jsonl`.

    `columns` has columns to add to those of the model, by name. `computed` has functions of a row,
    whose results are further columns.
    """
    stored = [*field_names(queryset.model), *columns]
    fields = [*stored, *computed]
    rows = (
        row | {name: value(row) for name, value in computed.items()}
        for row in rows_in_pages(queryset.annotate(**columns), stored)
    )
    name = f"{queryset.model._meta.model_name}.{kind}"
    if kind == "csv":
        lines, content_type = csv_lines(rows, fields), "text/csv; charset=utf-8"
        return download(request, lines, content_type=content_type, name=name)
    lines = (orjson.dumps(row, default=str, option=orjson.OPT_APPEND_NEWLINE) for row in rows)
    return download(request, lines, content_type="application/jsonl; charset=utf-8", name=name)


def field_names(model: type[Model]) -> list[str]:
    """Returns the columns of the model, except hashes and values that only order rows."""
    fields = (field for field in model._meta.concrete_fields if field.name not in RANKS)
    return [field.attname for field in fields if not isinstance(field, ArrayField | BinaryField)]
