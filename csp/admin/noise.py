"""The pages of noise rules."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from copy import copy
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, QueryDict
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe
from django.utils.text import Truncator

from audit.admin import AuditedAdmin
from audit.services import actor_of
from csp import services
from csp.models import Group, NoiseRule
from csp.noise.rules import checked_pattern
from csp.noise.stored import daily_hits, dry_run, examples, rules_with_hits
from csp.triage import sites
from kernel.admin import ValuesFilter, column, row_link
from kernel.text.humanize import plural

MAX_IN_LIST = 40
MAX_LINKS = 20
DAYS_OF_HITS = 14
LABEL_GROUPS = "Label groups in which all reports match"


class NoiseRuleForm(forms.ModelForm[NoiseRule]):
    site = forms.ChoiceField(
        required=False, help_text="The rule matches only reports of this site."
    )
    label_stored = forms.BooleanField(
        required=False,
        label="Hide stored reports, too",
        help_text="Labels the groups in which all stored reports match. Without it, the rule "
        "labels only the reports that arrive from now on.",
    )

    class Meta:
        model = NoiseRule
        fields = [
            "name",
            "category",
            "target",
            "pattern",
            "site",
            "reason",
            "reference_url",
            "is_enabled",
        ]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        known = dict.fromkeys([*sites.sites_of_groups(), self.instance.site])
        choices = [("", "All sites"), *((site, site) for site in known if site)]
        self.fields["site"].choices = choices  # type: ignore[attr-defined]

    def clean_pattern(self) -> str:
        found = self.cleaned_data
        try:
            return checked_pattern(found.get("target", ""), found["pattern"])
        except ValueError as error:
            raise ValidationError(str(error)) from None


of_site = column("site", lambda site: site or "All sites", "site")


class SiteOfRuleFilter(ValuesFilter):
    """Filters by the site of a rule. Rules without a site match the reports of all sites."""

    empty = "All sites"


@admin.register(NoiseRule)
class NoiseRuleAdmin(AuditedAdmin[NoiseRule]):
    form = NoiseRuleForm
    # The name is not listed, because the name of a built-in rule only repeats target and pattern.
    list_display = [
        "short_pattern",
        "target",
        "category",
        "is_enabled",
        "hits_in_a_week",
        "is_built_in",
    ]
    list_filter = ["is_enabled", "category", "target", "is_built_in", ("site", SiteOfRuleFilter)]
    search_fields = ["name", "pattern", "reason"]
    readonly_fields = ["is_built_in", "updated_at", "hits_by_day", "examples"]
    actions = ["dry_run", "label_groups", "enable", "disable"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[NoiseRule]:
        return rules_with_hits(super().get_queryset(request), now=timezone.now())

    short_pattern = column(
        "pattern", lambda pattern: Truncator(pattern).chars(MAX_IN_LIST), "pattern"
    )

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return self.readonly_fields if obj else []

    def get_list_display(self, request: HttpRequest) -> Any:
        """Adds the site if a rule has one."""
        first, *others = self.list_display
        has_site = NoiseRule.objects.exclude(site="").exists()
        return [first, *([of_site] if has_site else []), *others]

    hits_in_a_week = column("week_hits", lambda hits: str(hits or 0), "hits in 7 days")

    @admin.display(description="hits per day (UTC)")
    def hits_by_day(self, rule: NoiseRule) -> SafeString:
        hits = daily_hits(rule, now=timezone.now(), days=DAYS_OF_HITS)
        return format_html_join(mark_safe("<br>"), "{}: {}", hits) or mark_safe("none")

    @admin.display(description="examples")
    def examples(self, rule: NoiseRule) -> SafeString:
        reports = examples(rule)
        rows = ((row_link(report), report.browser) for report in reports)
        shown = format_html_join("", "<li>{} {}</li>", rows)
        every = reverse(
            "admin:csp_group_changelist", query={"noise": "all", "noise_rule__id__exact": rule.pk}
        )
        return format_html('<ul class="uri">{}</ul><a href="{}">Show all groups</a>', shown, every)

    def add_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Adds a dry run of the rule that fills in the form, without saving the rule.

        The user asks for it with a button, or opens the form for a group.
        """
        if not self.has_add_permission(request):
            return super().add_view(request, *args, **kwargs)
        if "_dry_run" in request.POST and self.get_form(request)(request.POST).is_valid():
            # Not a redirect: the values may be too long for a URL.
            shown: Any = QueryDict(mutable=True)
            shown.update({name: request.POST.get(name, "") for name in self.form.base_fields})
            request = copy(request)
            request.method, request.GET = "GET", shown
        chosen = request.GET
        if (
            request.method == "GET"
            and chosen.get("pattern")
            and chosen.get("target") in NoiseRule.Target
        ):
            names = ("name", "target", "pattern", "site")
            rule = NoiseRule(**{name: request.GET.get(name, "") for name in names})
            with suppress(ValueError):
                rule.pattern = checked_pattern(rule.target, rule.pattern)
                self._show_matches(request, rule)
        return super().add_view(request, *args, **kwargs)

    def save_model(self, request: HttpRequest, obj: NoiseRule, form: Any, change: bool) -> None:
        services.save_noise_rule(obj, actor=actor_of(request), now=timezone.now())
        if form.cleaned_data["label_stored"]:
            self._label(request, obj)
        elif {"target", "pattern", "site"} & set(form.changed_data):
            self._show_matches(request, obj)

    def _show_matches(self, request: HttpRequest, rule: NoiseRule) -> None:
        """Lists the visible groups in which all or some reports match the rule. Changes nothing."""
        wholly, partly = dry_run(rule)
        hidden = plural(len(wholly), "visible group")
        number = plural(sum(group.reports for group in wholly), "report")
        for text, groups in (
            (f"In {hidden} with {number}, all stored reports match {rule.name}:", wholly),
            (f"In these groups, only some stored reports match {rule.name}:", partly),
        ):
            if groups:
                self.message_user(request, format_html("{} {}", text, _links(groups)))
        if wholly and rule.pk:
            self.message_user(request, f"To hide them now, run the action “{LABEL_GROUPS}”.")
        if not wholly and not partly:
            nothing = f"No visible stored report matches {rule.name}."
            self.message_user(request, nothing, messages.WARNING)

    def delete_model(self, request: HttpRequest, obj: NoiseRule) -> None:
        services.delete_noise_rule(obj, actor=actor_of(request), now=timezone.now())

    @admin.action(description="Dry run on stored reports")
    def dry_run(self, request: HttpRequest, queryset: QuerySet[NoiseRule]) -> None:
        for rule in queryset:
            self._show_matches(request, rule)

    @admin.action(description=LABEL_GROUPS, permissions=["change"])
    def label_groups(self, request: HttpRequest, queryset: QuerySet[NoiseRule]) -> None:
        for rule in queryset:
            self._label(request, rule)

    def _label(self, request: HttpRequest, rule: NoiseRule) -> None:
        labelled = services.label_groups(rule, actor=actor_of(request), now=timezone.now())
        text = f"Groups with the new label {rule.name}: {labelled}."
        if labelled:
            text += " They are hidden."
        self.message_user(request, text)

    @admin.action(description="Enable, and hide groups", permissions=["change"])
    def enable(self, request: HttpRequest, queryset: QuerySet[NoiseRule]) -> None:
        self._set_enabled(request, queryset, enabled=True)
        self.label_groups(request, queryset)

    @admin.action(description="Disable, and show the groups", permissions=["change"])
    def disable(self, request: HttpRequest, queryset: QuerySet[NoiseRule]) -> None:
        self._set_enabled(request, queryset, enabled=False)

    def _set_enabled(
        self, request: HttpRequest, queryset: QuerySet[NoiseRule], *, enabled: bool
    ) -> None:
        for rule in queryset:
            rule.is_enabled = enabled
            services.save_noise_rule(rule, actor=actor_of(request), now=timezone.now())


def _links(groups: Sequence[Group]) -> SafeString:
    links = ((row_link(group, f"{group}{sites.where(group)}"),) for group in groups[:MAX_LINKS])
    shown = format_html_join(", ", "{}", links)
    more = len(groups) - MAX_LINKS
    return format_html("{} and {} more", shown, more) if more > 0 else shown
