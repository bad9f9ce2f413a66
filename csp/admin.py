from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe
from django.utils.text import Truncator

from audit.admin import register_target
from audit.services import actor_of
from csp import export, selectors, services
from csp.access.origins import normalized
from csp.filters import (
    DayFilter,
    DirectiveFilter,
    DispositionFilter,
    FormatFilter,
    HostFilter,
    NoiseFilter,
    VersionFilter,
)
from csp.models import Group, IngestKey, NoiseRule, Report
from csp.noise import history
from csp.noise.rules import checked_pattern
from csp.writing import reach
from kernel.admin import BoundedPaginator, ReadOnlyAdmin, ServiceAdmin, row_link
from kernel.charts import COUNT, Chart, Series, render
from kernel.humanize import since

register_target("noise_rule", NoiseRule)
register_target("ingest_key", IngestKey)

CHART_HOURS = 7 * 24
MAX_IN_LIST = 40
DAYS_OF_HITS = 14


class ExportingAdmin(ReadOnlyAdmin):
    """Shows rows read-only, with actions that export the selected rows."""

    actions = ["export_csv", "export_json_lines"]
    not_exported: tuple[str, ...] = ()

    @admin.action(description="Export as CSV")
    def export_csv(self, request: HttpRequest, rows: QuerySet[Any]) -> HttpResponseBase:
        return export.as_csv(request, rows, without=self.not_exported)

    @admin.action(description="Export as JSON lines")
    def export_json_lines(self, request: HttpRequest, rows: QuerySet[Any]) -> HttpResponseBase:
        return export.as_json_lines(request, rows, without=self.not_exported)


@admin.register(Group)
class GroupAdmin(ExportingAdmin):
    """Lists the violation groups, most clients first."""

    list_display = [
        "blocked",
        "directive",
        "clients",
        "distinct_pages",
        "visible_count",
        "seen",
        "document",
    ]
    list_filter = [NoiseFilter, DispositionFilter, DirectiveFilter, HostFilter, VersionFilter]
    search_fields = ["blocked", "document", "directive"]
    fields = [
        ("directive", "disposition"),
        ("blocked", "document"),
        ("first_seen", "last_seen"),
        ("count", "noise_count"),
        ("pages", "browsers", "days", "client_days"),
        ("first_version", "last_version"),
    ]
    date_hierarchy = "first_seen"

    @admin.display(description="clients per day", ordering="client_days")
    def clients(self, group: Group) -> str:
        return reach.humanized(group.client_days)

    @admin.display(description="pages", ordering="pages")
    def distinct_pages(self, group: Group) -> str:
        return reach.humanized(group.pages)

    @admin.display(description="reports", ordering="count")
    def visible_count(self, group: Group) -> int:
        return group.visible_count

    @admin.display(description="last seen", ordering="last_seen")
    def seen(self, group: Group) -> SafeString:
        return since(group.last_seen)

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        group = self.get_object(request, object_id)
        if group is not None and self.has_view_permission(request, group):
            extra_context = {**(extra_context or {}), **_group_page(group)}
        return super().change_view(request, object_id, form_url, extra_context)


def _group_page(group: Group) -> dict[str, Any]:
    hours = selectors.hourly_counts(group, now=timezone.now(), hours=CHART_HOURS)
    return {
        "chart": render(_chart(hours)),
        "breakdowns": [
            ("Page", selectors.breakdown(group, "document_uri")),
            ("Browser", selectors.breakdown(group, "browser")),
            ("Coder version", selectors.breakdown(group, "coder_version")),
        ],
        "reports": selectors.newest_reports(group),
    }


def _chart(hours: list[tuple[datetime, int]]) -> Chart:
    return Chart(
        title="Reports",
        measure="in {step}",
        unit=COUNT,
        start=hours[0][0],
        step=timedelta(hours=1),
        series=[Series("reports", [count for _, count in hours])],
        bars=True,
    )


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
    list_filter = [DispositionFilter, FormatFilter, DayFilter]
    paginator = BoundedPaginator
    show_facets = admin.ShowFacets.NEVER  # Facets would count all reports.
    search_fields = ["blocked_uri", "document_uri", "source_file", "effective_directive"]
    fields = [
        ("received_at", "occurred_at"),
        ("group", "noise_rule"),
        ("effective_directive", "violated_directive", "disposition"),
        "document_uri",
        "referrer",
        "blocked_uri",
        ("source_file", "line_number", "column_number"),
        "sample",
        "original_policy",
        ("browser", "coder_version", "format", "status_code"),
        "user_agent",
        "extra",
    ]
    not_exported = ("client",)

    @admin.display
    def noise_rule(self, report: Report) -> str:
        rule = NoiseRule.objects.filter(pk=report.rule_id).first() if report.rule_id else None
        return row_link(rule) if rule else "none"


class NoiseRuleForm(forms.ModelForm[NoiseRule]):
    class Meta:
        model = NoiseRule
        fields = ["name", "category", "target", "pattern", "reason", "source", "enabled"]

    def clean(self) -> dict[str, Any] | None:
        cleaned = super().clean() or self.cleaned_data
        if "target" in cleaned and "pattern" in cleaned:
            try:
                cleaned["pattern"] = checked_pattern(cleaned["target"], cleaned["pattern"])
            except ValueError as error:
                self.add_error("pattern", str(error))
        return cleaned


@admin.register(NoiseRule)
class NoiseRuleAdmin(ServiceAdmin[NoiseRule]):
    form = NoiseRuleForm
    # The name is not listed, because the name of a built-in rule only repeats target and pattern.
    list_display = ["short_pattern", "target", "category", "enabled", "hits_in_a_week", "built_in"]
    list_filter = ["enabled", "category", "target", "built_in"]
    search_fields = ["name", "pattern", "reason"]
    readonly_fields = ["built_in", "updated_at", "hits_by_day", "examples"]
    actions = ["dry_run", "apply_to_stored", "enable", "disable"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[NoiseRule]:
        return selectors.rules_with_hits(super().get_queryset(request), now=timezone.now())

    @admin.display(description="pattern", ordering="pattern")
    def short_pattern(self, rule: NoiseRule) -> str:
        return Truncator(rule.pattern).chars(MAX_IN_LIST)

    @admin.display(description="hits in 7 days")
    def hits_in_a_week(self, rule: Any) -> int:
        return rule.week_hits or 0

    @admin.display(description="hits per day (UTC)")
    def hits_by_day(self, rule: NoiseRule) -> SafeString:
        hits = selectors.daily_hits(rule, now=timezone.now(), days=DAYS_OF_HITS)
        return format_html_join(mark_safe("<br>"), "{}: {}", hits) or mark_safe("none")

    @admin.display(description="examples")
    def examples(self, rule: NoiseRule) -> SafeString:
        shown = format_html_join(
            "",
            '<li><a href="{}">{}</a> {}</li>',
            (
                (reverse("admin:csp_report_change", args=[report.pk]), report, report.browser)
                for report in selectors.examples(rule)
            ),
        )
        every = reverse("admin:csp_report_changelist", query={"rule_id__exact": rule.pk})
        return format_html('<ul class="uri">{}</ul><a href="{}">Show all</a>', shown, every)

    def save_model(self, request: HttpRequest, obj: NoiseRule, form: Any, change: bool) -> None:
        # Search for matches before saving the rule. After the rule is saved, no reports can be
        # written until the transaction ends, so this transaction must end soon.
        if {"target", "pattern"} & set(form.changed_data):
            self._show_matches(request, obj)
        services.save_noise_rule(obj, actor=actor_of(request), now=timezone.now())

    def _show_matches(self, request: HttpRequest, rule: NoiseRule) -> None:
        """Shows how many visible stored reports the rule matches, without hiding them."""
        matched = history.would_hide(rule)
        level = messages.INFO if matched.reports else messages.WARNING
        message = f"Of the visible stored reports, {rule.name} matches {matched}."
        self.message_user(request, message, level)

    def delete_model(self, request: HttpRequest, obj: NoiseRule) -> None:
        services.delete_noise_rule(obj, actor=actor_of(request), now=timezone.now())

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[NoiseRule]) -> None:
        for rule in queryset:
            self.delete_model(request, rule)

    @admin.action(description="Dry run on stored reports")
    def dry_run(self, request: HttpRequest, queryset: QuerySet[NoiseRule]) -> None:
        for rule in queryset:
            self._show_matches(request, rule)

    @admin.action(description="Apply to stored reports", permissions=["change"])
    def apply_to_stored(self, request: HttpRequest, queryset: QuerySet[NoiseRule]) -> None:
        for rule in queryset:
            if not rule.enabled:
                message = f"The rule {rule.name} is disabled. Enable it first."
                self.message_user(request, message, messages.ERROR)
                continue
            hidden = services.hide_stored_noise(rule, actor=actor_of(request), now=timezone.now())
            self.message_user(request, f"The rule {rule.name} has hidden {hidden}.")

    @admin.action(description="Enable", permissions=["change"])
    def enable(self, request: HttpRequest, queryset: QuerySet[NoiseRule]) -> None:
        self._set_enabled(request, queryset, enabled=True)

    @admin.action(description="Disable, and show hidden reports", permissions=["change"])
    def disable(self, request: HttpRequest, queryset: QuerySet[NoiseRule]) -> None:
        self._set_enabled(request, queryset, enabled=False)

    def _set_enabled(
        self, request: HttpRequest, queryset: QuerySet[NoiseRule], *, enabled: bool
    ) -> None:
        for rule in queryset:
            rule.enabled = enabled
            services.save_noise_rule(rule, actor=actor_of(request), now=timezone.now())


class IngestKeyForm(forms.ModelForm[IngestKey]):
    class Meta:
        model = IngestKey
        fields = ["name", "origins", "retired_at"]

    def clean_origins(self) -> list[str]:
        try:
            return normalized(self.cleaned_data["origins"])
        except ValueError as error:
            raise ValidationError(str(error)) from None


@admin.register(IngestKey)
class IngestKeyAdmin(ServiceAdmin[IngestKey]):
    form = IngestKeyForm
    list_display = ["name", "key", "origins", "created_at", "retired_at"]
    search_fields = ["name", "key"]
    readonly_fields = ["key", "created_at"]

    def save_model(self, request: HttpRequest, obj: IngestKey, form: Any, change: bool) -> None:
        services.save_ingest_key(obj, actor=actor_of(request), now=timezone.now())

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Returns False, because keys are retired instead.

        A report with a retired key gets a 410 response, so that the browser stops sending reports.
        """
        return False
