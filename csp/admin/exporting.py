"""Exports the rows of a list."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.db.models.expressions import Combinable
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from csp.export import exported
from kernel.admin import ReadOnlyAdmin


class ExportingAdmin(ReadOnlyAdmin):
    """Shows rows read-only, with actions that export the selected rows.

    `more_columns` has the exported columns that the table does not have.
    """

    actions = ["export_csv", "export_json_lines"]
    more_columns: Mapping[str, Combinable] = {}

    @admin.action(description="Export as CSV")
    def export_csv(self, request: HttpRequest, rows: QuerySet[Any]) -> HttpResponseBase:
        return exported(request, rows, "csv", **self.more_columns)

    @admin.action(description="Export as JSON lines")
    def export_json_lines(self, request: HttpRequest, rows: QuerySet[Any]) -> HttpResponseBase:
        return exported(request, rows, "jsonl", **self.more_columns)
