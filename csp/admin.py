from __future__ import annotations

from collections.abc import Sequence
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
from django.utils.text import Truncator, slugify

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
)
from csp.models import Group, IngestKey, NoiseRule, Report
from csp.noise.rules import checked_pattern, pattern_for
from csp.noise.stored import dry_run
from csp.scrubbing.uris import address_of
from csp.writing import reach
from kernel.admin import BoundedPaginator, ReadOnlyAdmin, ServiceAdmin, row_link
from kernel.charts import COUNT, Chart, Series, render
from kernel.humanize import since

register_target("noise_rule", NoiseRule)
register_target("ingest_key", IngestKey)

CHART_HOURS = 7 * 24
MAX_IN_LIST = 40
MAX_LINKS = 20
MAX_REASON = 200
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

    list_display = ["blocked", "directive", "clients", "distinct_pages", "count", "seen", "rule"]
    list_filter = [NoiseFilter, DirectiveFilter, HostFilter]
    list_select_related = ["rule"]
    search_fields = ["blocked", "directive"]
    fields = [
        ("directive", "blocked", "rule"),
        ("first_seen", "last_seen", "days"),
        ("count", "pages", "client_days"),
    ]
    readonly_fields = ["days"]
    date_hierarchy = "first_seen"

    @admin.display(description="clients per day", ordering="client_days")
    def clients(self, group: Group) -> str:
        return reach.humanized(group.client_days)

    @admin.display(description="pages", ordering="pages")
    def distinct_pages(self, group: Group) -> str:
        return reach.humanized(group.pages)

    @admin.display(description="days with reports")
    def days(self, group: Group) -> int:
        return selectors.number_of_days(group)

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
    reports = list(selectors.newest_reports(group))
    return {
        "chart": render(_chart(hours)),
        "facets": selectors.facets(group),
        "reports": reports,
        "rule_url": _rule_url(group, reports[0]) if reports and group.rule_id is None else "",
    }


def _rule_url(group: Group, newest: Report) -> str:
    """Returns the URL of the form for a new noise rule, filled in for the group, or ""."""
    found = pattern_for(
        blocked=address_of(newest.blocked_uri),
        source=address_of(newest.source_file),
        document=address_of(newest.document_uri),
    )
    if found is None:
        return ""
    target, pattern = found
    values = {
        "name": slugify(f"{target} {pattern}".replace(".", "-"))[:64],
        "category": "own",
        "target": target,
        "pattern": pattern,
        "reason": f"The group {group}."[:MAX_REASON],
    }
    return reverse("admin:csp_noiserule_add", query=values)


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
        rule = NoiseRule.objects.filter(groups=report.group_id).first()
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
    actions = ["dry_run", "label_groups", "enable", "disable"]

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
        every = reverse(
            "admin:csp_group_changelist", query={"noise": "all", "rule__id__exact": rule.pk}
        )
        return format_html('<ul class="uri">{}</ul><a href="{}">Show all groups</a>', shown, every)

    def save_model(self, request: HttpRequest, obj: NoiseRule, form: Any, change: bool) -> None:
        services.save_noise_rule(obj, actor=actor_of(request), now=timezone.now())
        if {"target", "pattern"} & set(form.changed_data):
            self._show_matches(request, obj)

    def _show_matches(self, request: HttpRequest, rule: NoiseRule) -> None:
        """Lists the visible groups that the rule matches wholly or partly. Changes nothing."""
        found = dry_run(rule)
        for text, groups in (
            ("In these groups, all stored reports match {}:", found.wholly),
            ("In these groups, only some stored reports match {}:", found.partly),
        ):
            if groups:
                message = format_html("{} {}", text.format(rule.name), _links(groups))
                self.message_user(request, message)
        if not found.wholly and not found.partly:
            nothing = f"No visible stored report matches {rule.name}."
            self.message_user(request, nothing, messages.WARNING)

    def delete_model(self, request: HttpRequest, obj: NoiseRule) -> None:
        services.delete_noise_rule(obj, actor=actor_of(request), now=timezone.now())

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[NoiseRule]) -> None:
        for rule in queryset:
            self.delete_model(request, rule)

    @admin.action(description="Dry run on stored reports")
    def dry_run(self, request: HttpRequest, queryset: QuerySet[NoiseRule]) -> None:
        for rule in queryset:
            self._show_matches(request, rule)

    @admin.action(description="Label groups that match wholly", permissions=["change"])
    def label_groups(self, request: HttpRequest, queryset: QuerySet[NoiseRule]) -> None:
        for rule in queryset:
            labelled = services.label_groups(rule, actor=actor_of(request), now=timezone.now())
            self.message_user(request, f"Groups with the new label {rule.name}: {labelled}.")

    @admin.action(description="Enable", permissions=["change"])
    def enable(self, request: HttpRequest, queryset: QuerySet[NoiseRule]) -> None:
        self._set_enabled(request, queryset, enabled=True)

    @admin.action(description="Disable, and show the groups", permissions=["change"])
    def disable(self, request: HttpRequest, queryset: QuerySet[NoiseRule]) -> None:
        self._set_enabled(request, queryset, enabled=False)

    def _set_enabled(
        self, request: HttpRequest, queryset: QuerySet[NoiseRule], *, enabled: bool
    ) -> None:
        for rule in queryset:
            rule.enabled = enabled
            services.save_noise_rule(rule, actor=actor_of(request), now=timezone.now())


def _links(groups: Sequence[Group]) -> SafeString:
    shown = format_html_join(", ", "{}", ((row_link(group),) for group in groups[:MAX_LINKS]))
    more = len(groups) - MAX_LINKS
    return format_html("{} and {} more", shown, more) if more > 0 else shown


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
