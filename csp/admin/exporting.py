"""Exports the rows of a list."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.db.models.expressions import Combinable
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from csp.export import Computed, exported
from kernel.admin import ReadOnlyAdmin


class ExportingAdmin(ReadOnlyAdmin):
    """Shows rows read-only, with actions that export the selected rows.

    `more_columns` has the exported columns that the table does not have, and `computed` those that
    are functions of a row.
    """

    actions = ["export_csv", "export_json_lines"]
    more_columns: Mapping[str, Combinable] = {}
    computed: Computed = {}

    @admin.action(description="Export as CSV")
    def export_csv(self, request: HttpRequest, rows: QuerySet[Any]) -> HttpResponseBase:
        return self._exported(request, rows, "csv")

    @admin.action(description="Export as JSON lines")
    def export_json_lines(self, request: HttpRequest, rows: QuerySet[Any]) -> HttpResponseBase:
        return self._exported(request, rows, "jsonl")

    def _exported(self, request: HttpRequest, rows: QuerySet[Any], kind: str) -> HttpResponseBase:
        return exported(request, rows, kind, columns=self.more_columns, computed=self.computed)
