"""The pages of stored reports and of rejected requests."""

from __future__ import annotations

from operator import attrgetter
from typing import Any

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.db.models import OuterRef, QuerySet, Subquery
from django.http import HttpRequest

from csp.admin.filters import (
    DayFilter,
    DispositionFilter,
    FormatFilter,
    SiteOfReportFilter,
)
from csp.export import ExportingAdmin
from csp.models import Group, NoiseRule, Rejection, Report
from kernel.admin import (
    ReadOnlyAdmin,
    RowsOfLargeTable,
    ValuesFilter,
    column,
    row_link,
    time_column,
)

NO_KEY = "none"
key_name = column("ingest_key", lambda name: name or NO_KEY, "ingest key")


@admin.register(Report)
class ReportAdmin(ExportingAdmin):
    list_display = [
        "received_at",
        "effective_directive",
        "blocked_uri",
        "document_uri",
        "disposition",
        "browser",
    ]
    list_filter = [SiteOfReportFilter, DispositionFilter, FormatFilter, DayFilter]
    show_facets = admin.ShowFacets.NEVER  # Facets would count all reports.
    sortable_by = ["received_at"]  # The other columns have no index.
    search_fields = ["blocked_uri", "document_uri", "source_file", "effective_directive"]
    fields = [
        ("received_at", "occurred_at"),
        ("group", "site", "noise_rule"),
        ("effective_directive", "violated_directive", "disposition"),
        "document_uri",
        "referrer",
        "blocked_uri",
        ("source_file", "line_number", "column_number"),
        "sample",
        "original_policy",
        ("browser", "version_name", "format", "status_code"),
        "user_agent",
        "other_members",
    ]
    site = column("site", lambda site: site or "-", "site")
    more_columns = {"site": attrgetter("site")}

    def get_queryset(self, request: HttpRequest) -> QuerySet[Report]:
        # Not a join, which would omit a report whose group was deleted.
        site = Group.objects.filter(pk=OuterRef("group_id")).values("site")
        rows: QuerySet[Report] = super().get_queryset(request)
        return rows.annotate(site=Subquery(site))

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return RowsOfLargeTable

    @admin.display
    def noise_rule(self, report: Report) -> str:
        rule = NoiseRule.objects.filter(pk=report.noise_rule_id).first()
        return row_link(rule) if rule else "none"


class KeyFilter(ValuesFilter):
    """Filters by ingest key. Requests without a key are shown as in the column."""

    empty = NO_KEY


@admin.register(Rejection)
class RejectionAdmin(ReadOnlyAdmin):
    list_display = ["day", "reason", key_name, "from_origin", "requests", "last"]
    list_filter = ["reason", ("ingest_key", KeyFilter)]
    search_fields = ["origin"]

    from_origin = column("origin", lambda origin: origin or "none", "origin")
    last = time_column("last_seen", "last")
