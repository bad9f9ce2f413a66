"""Exports the rows of a list as JSON lines or as CSV. Reads one page of rows at a time."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import orjson
from django.contrib import admin
from django.contrib.postgres.fields import ArrayField
from django.db.models import BinaryField, Model, Q, QuerySet
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from kernel.admin import ReadOnlyAdmin
from kernel.db.paging import in_pages
from kernel.http.views.base import download

# A spreadsheet program treats a cell as a formula if it begins with one of these characters. East
# Asian versions also accept the full-width characters. Any client can send a report with such a
# value, so `safe_cell` writes a quote before the value.
FORMULA_STARTS = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20", "\t", "\r", "\n")
# Columns that only order rows. They are derived from a version.
RANKS = frozenset({"oldest_version_rank", "rank"})


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


class ExportingAdmin(ReadOnlyAdmin):
    """Shows rows read-only, with actions that export the selected rows.

    `more_columns` has the exported columns that the table does not have, as functions of a row.
    """

    actions = ["export_csv", "export_json_lines"]
    more_columns: Mapping[str, Callable[[Any], Any]] = {}

    @admin.action(description="Export as CSV")
    def export_csv(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponseBase:
        fields, rows = self._exported(queryset)
        content_type, name = "text/csv; charset=utf-8", f"{self.opts.model_name}.csv"
        return download(request, csv_lines(rows, fields), content_type=content_type, name=name)

    @admin.action(description="Export as JSON lines")
    def export_json_lines(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponseBase:
        _, rows = self._exported(queryset)
        lines = (orjson.dumps(row, default=str, option=orjson.OPT_APPEND_NEWLINE) for row in rows)
        content_type, name = "application/jsonl; charset=utf-8", f"{self.opts.model_name}.jsonl"
        return download(request, lines, content_type=content_type, name=name)

    def _exported(self, queryset: QuerySet[Any]) -> tuple[list[str], Iterator[dict[str, Any]]]:
        """Returns the names of the columns, and the rows."""
        stored = field_names(self.model)
        ordered = queryset.only(*stored).order_by("id")
        rows = (
            {name: getattr(row, name) for name in stored}
            | {name: value(row) for name, value in self.more_columns.items()}
            for page in in_pages(ordered, after=lambda row: Q(id__gt=row.pk))
            for row in page
        )
        return [*stored, *self.more_columns], rows


def field_names(model: type[Model]) -> list[str]:
    """Returns the columns of the model, except hashes and values that only order rows."""
    fields = (field for field in model._meta.concrete_fields if field.name not in RANKS)
    return [field.attname for field in fields if not isinstance(field, ArrayField | BinaryField)]
