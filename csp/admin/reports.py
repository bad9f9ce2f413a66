"""The pages of stored reports, of other reports, and of rejected requests."""

from __future__ import annotations

from functools import partial
from operator import attrgetter
from typing import Any

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.db.models import OuterRef, QuerySet, Subquery
from django.http import HttpRequest
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe

from csp.admin.filters import (
    DayFilter,
    DispositionFilter,
    FormatFilter,
    SiteFilter,
    SiteOfReportFilter,
)
from csp.counting.other_reports import SKETCH
from csp.export import ExportingAdmin
from csp.models import Group, NoiseRule, OtherReport, Rejection, Report
from csp.triage import sites
from csp.writing.distinct import humanized
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


@admin.register(OtherReport)
class OtherReportAdmin(ExportingAdmin):
    list_display = [
        "type",
        "cause",
        "kind_of_page",
        "distinct_clients",
        "reports",
        key_name,
        "seen",
    ]
    list_filter = [("type", ValuesFilter), SiteFilter, ("ingest_key", KeyFilter)]
    search_fields = ["subject", "cause_url", "page_kind"]
    # The sketch of the clients is a list of hashes.
    exclude = ["client_sketch"]

    distinct_clients = column("client_days", partial(humanized, exact=SKETCH - 1), "client days")
    seen = time_column("last_seen", "last seen")
    kind_of_page = column(
        "page_kind", partial(format_html, '<span class="uri">{}</span>'), "kind of page"
    )

    @admin.display(description="subject, and URL of the cause", ordering="subject")
    def cause(self, row: OtherReport) -> SafeString:
        shown = ((text,) for text in (row.subject, row.cause_url) if text)
        return format_html_join(mark_safe("<br>"), '<span class="uri">{}</span>', shown)

    def get_list_display(self, request: HttpRequest) -> Any:
        """Adds the site if there are several."""
        return [*self.list_display, *(["site"] if sites.several_sites() else [])]
