from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from copy import copy
from datetime import UTC, datetime, time, timedelta
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import ChangeList
from django.core import signing
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import OuterRef, QuerySet, Subquery
from django.db.models.expressions import Combinable
from django.http import HttpRequest, HttpResponse, QueryDict
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe
from django.utils.text import Truncator, slugify
from django.views.decorators.http import require_POST

from audit.admin import register_target
from audit.services import actor_of
from csp import other_reports, selectors, services
from csp.access.origins import normalized
from csp.advice.causes import cause
from csp.advice.policy import governing_directive, parse
from csp.export import exported
from csp.filters import (
    AssigneeFilter,
    DayFilter,
    DirectiveFilter,
    DispositionFilter,
    FormatFilter,
    HostFilter,
    NewInFilter,
    NoiseFilter,
    SiteFilter,
    SiteOfReportFilter,
    StateFilter,
)
from csp.models import (
    OTHER_SITE,
    Group,
    IngestKey,
    NoiseRule,
    OtherReport,
    Rejection,
    Report,
    State,
)
from csp.noise.rules import checked_pattern, pattern_for
from csp.noise.stored import dry_run
from csp.scrubbing.uris import address_of
from csp.triage import decisions, policies, releases, sites
from csp.triage.activity import activity
from csp.triage.decisions import (
    MAX_NOTE,
    Decision,
    checked,
    copy_decision,
    decide,
    same_cause,
)
from csp.triage.details import details, is_own, next_step
from csp.triage.overview import badges, daily, hourly_chart, sparkline, state_badge
from csp.triage.selectors import attention_lists, groups_at, neighbors, whole_hour
from csp.triage.site_check import site_check
from csp.triage.site_policy import site_policy
from csp.triage.versions import clients_by_version, mark_new
from csp.writing import reach
from kernel import humanize
from kernel.admin import (
    ReadOnlyAdmin,
    Rows,
    RowsOfLargeTable,
    ServiceAdmin,
    ValuesFilter,
    bounded_search,
    column,
    row_link,
    time_column,
)
from kernel.charts import Series

register_target("noise_rule", NoiseRule)
register_target("ingest_key", IngestKey)
register_target("csp_group", Group)

CHART_HOURS = 7 * 24
MAX_IN_LIST = 40
MAX_LINKS = 20
# The form lists this number of users to whom a group can be assigned.
MAX_USERS = 200
# The maximum number of groups that an action changes at once.
MAX_DECISIONS = 1_000
DAYS_OF_HITS = 14
LABEL_GROUPS = "Label groups in which all reports match"
NEWEST_REPORTS = 20
NO_KEY = "none"
GROUPS = "admin:csp_group_changelist"
# Django's name of the parameter with the query of the list from which the reader came.
LIST_FILTERS = "_changelist_filters"
LIST_OF_ALL = urlencode({LIST_FILTERS: "p=1"})
# The maximum number of groups whose decisions can be undone together.
MAX_UNDONE = 50
UNDO = "csp.group.undo"
# The form is in the template `admin/csp/undo.html`.
UNDO_BUTTON = '<button type="submit" form="undo" name="undo" value="{}">Undo (u)</button>'


class UnreadRows(Rows):
    """A list of which only the filters, the search and the order matter."""

    def get_results(self, request: HttpRequest) -> None:
        """Reads no rows."""


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


@admin.register(Group)
class GroupAdmin(ExportingAdmin):
    """Lists the violation groups, most clients first."""

    list_display = [
        "cause_in_words",
        "state_now",
        "clients",
        "distinct_pages",
        "reports_in_days",
        "first",
        "seen",
        next_step,
    ]
    list_filter = [
        *(StateFilter, SiteFilter, NewInFilter, AssigneeFilter, NoiseFilter),
        *(DirectiveFilter, HostFilter),
    ]
    search_fields = ["blocked", "directive"]
    fields = [("rule", "state_at", "ignored_until", "ignored_reach")]
    list_per_page = 50
    actions = [*ExportingAdmin.actions, "acknowledge", "ignore", "resolve", "reopen"]
    pages = {
        "policies/": "policies",
        "releases/": "releases",
        "site-policy/": "site_policy",
        "undo/": "undo",
        "<uuid:key>/decide/": "decide",
        "<uuid:key>/copy/": "copy_decision",
    }

    def get_queryset(self, request: HttpRequest) -> Any:
        return groups_at(timezone.now())

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return Rows if _is_list(request) else UnreadRows

    def get_preserved_filters(self, request: HttpRequest) -> str:
        """Returns the filters of the list for the links to groups, also if there are none.

        Without it, the page of a group could not know that the reader came from the list.
        """
        found = super().get_preserved_filters(request)
        return found or (LIST_OF_ALL if _is_list(request) else "")

    def _neighbors(self, request: HttpRequest, group: Any) -> tuple[UUID | None, UUID | None]:
        """Returns the neighbors of the group in the list from which the reader came.

        This is the list with the filters, the search and the order in the query, or else the groups
        that need attention, of all sites or of the site in the query.
        """
        if LIST_FILTERS not in request.GET:
            site = request.GET.get("site", "")[:256].replace("\0", "")
            return neighbors(group, attention_lists(timezone.now(), site=site))
        of_list = copy(request)
        of_list.GET = QueryDict(request.GET[LIST_FILTERS])
        try:
            rows = super().get_changelist_instance(of_list)
        except IncorrectLookupParameters:
            return None, None
        order: Any = rows.get_ordering(of_list, rows.root_queryset)
        with bounded_search(request) if rows.query else nullcontext():
            return neighbors(group, [rows.queryset], order)

    def get_list_display(self, request: HttpRequest) -> Any:
        """Adds the site if there are several."""
        first, *others = self.list_display
        return [first, *(["site"] if sites.are_several() else []), *others]

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        """Reads the daily numbers and the versions of all rows of the page at once."""
        found = super().get_changelist_instance(request)
        days = daily([group.pk for group in found.result_list], timezone.now())
        for group in mark_new(found.result_list):
            group.days = days[group.pk]
        return found

    @admin.display(description="cause", ordering="blocked")
    def cause_in_words(self, group: Group) -> str:
        return cause(group.directive, group.blocked)

    @admin.display(description="state")
    def state_now(self, group: Any) -> SafeString:
        return badges(group)

    @admin.display(description="clients (sum of days)", ordering="client_days")
    def clients(self, group: Group) -> str:
        return reach.humanized(group.client_days)

    @admin.display(description="pages", ordering="pages")
    def distinct_pages(self, group: Group) -> str:
        return reach.humanized(group.pages)

    @admin.display(description="reports", ordering="count")
    def reports_in_days(self, group: Any) -> SafeString:
        """Shows the number of reports, and a drawing of the last seven days."""
        return format_html("{}<br>{}", humanize.count(group.count), sparkline(group.days))

    first = time_column("first_seen", "first seen")
    seen = time_column("last_seen", "last seen")

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        group = context["original"]
        context |= _group_page(group)
        context["neighbors"] = self._neighbors(request, group)
        context["decides"] = self.has_decide_permission(request)
        context["list_query"] = _list_query(request)
        return super().render_change_form(request, context, *args, **kwargs)

    # --- Decisions ----------------------------------------------------------------------------

    @admin.action(description="Acknowledge", permissions=["decide"])
    def acknowledge(self, request: HttpRequest, groups: QuerySet[Group]) -> None:
        self._decide(request, groups, Decision(state=State.ACKNOWLEDGED))

    @admin.action(description="Ignore for good", permissions=["decide"])
    def ignore(self, request: HttpRequest, groups: QuerySet[Group]) -> None:
        self._decide(request, groups, Decision(state=State.IGNORED))

    @admin.action(description="Resolve", permissions=["decide"])
    def resolve(self, request: HttpRequest, groups: QuerySet[Group]) -> None:
        self._decide(request, groups, Decision(state=State.RESOLVED))

    @admin.action(description="Set to new", permissions=["decide"])
    def reopen(self, request: HttpRequest, groups: QuerySet[Group]) -> None:
        self._decide(request, groups, Decision(state=State.NEW))

    def has_decide_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("csp.change_group")

    def _decide(self, request: HttpRequest, groups: QuerySet[Group], decision: Decision) -> None:
        keys = list(groups.values_list("pk", flat=True)[:MAX_DECISIONS])
        try:
            changed = decide(keys, decision, actor=actor_of(request), now=timezone.now())
        except ValueError as error:
            self.message_user(request, f"Nothing was changed. {error}", messages.ERROR)
            return
        text = f"Changed groups: {len(changed)}."
        if len(changed) == 1:
            # The next page is often the page of another group.
            outcome = _outcome(changed[0], decision)
            text = format_html("Saved the decision: {} is {}.", self._link(changed[0]), outcome)
        if len(changed) <= MAX_UNDONE:
            token = signing.dumps([each.undo for each in changed], salt=UNDO, compress=True)
            text = format_html("{} {}", text, format_html(UNDO_BUTTON, token))
        self.message_user(request, text)

    def _link(self, group: Group) -> SafeString:
        return row_link(group, f"{cause(group.directive, group.blocked)}{sites.where(group)}")

    @method_decorator(require_POST)
    def decide(self, request: HttpRequest, key: UUID) -> HttpResponse:
        """Stores the state and the note from the form on the group's page."""
        if not self.has_decide_permission(request):
            raise PermissionDenied
        form, now = DecisionForm(request.POST), timezone.now()
        group: Any = get_object_or_404(groups_at(now), pk=key)
        _, following = self._neighbors(request, group)
        if form.is_valid():
            self._decide(request, Group.objects.filter(pk=key), form.decision)
        for name, errors in form.errors.items():
            self.message_user(request, f"{name}: {' '.join(map(str, errors))}", messages.ERROR)
        if form.errors or "go_on" not in request.POST:
            return _to_group(request, key)
        if following is not None:
            return _to_group(request, following)
        if filters := request.GET.get(LIST_FILTERS):
            self.message_user(request, "This was the last group of the list.")
            return redirect(f"{reverse(GROUPS)}?{filters}")
        self.message_user(request, "This was the last group that needs a decision.")
        return redirect(f"{reverse('admin:app_list', args=['csp'])}{_list_query(request)}")

    @method_decorator(require_POST)
    def undo(self, request: HttpRequest) -> HttpResponse:
        """Takes back the decision whose message had the button."""
        if not self.has_decide_permission(request):
            raise PermissionDenied
        try:
            token = request.POST.get("undo", "")
            changes = signing.loads(token, salt=UNDO, max_age=timedelta(days=1))
        except signing.BadSignature:
            self.message_user(request, "This decision cannot be undone any more.", messages.ERROR)
            return redirect("admin:app_list", "csp")
        for change in changes:
            group = decisions.undo(**change, actor=actor_of(request), now=timezone.now())
            if group is None:
                problem = "A group was not changed: it has a newer decision."
                self.message_user(request, problem, messages.WARNING)
            else:
                text = format_html("Undone: {} is {} again.", self._link(group), group.current)
                self.message_user(request, text)
        if len(changes) == 1:
            return _to_group(request, changes[0]["key"])
        return redirect(GROUPS)

    @method_decorator(require_POST)
    def copy_decision(self, request: HttpRequest, key: UUID) -> HttpResponse:
        """Gives the decision about a group to the same cause on other sites."""
        if not self.has_decide_permission(request):
            raise PermissionDenied
        now = timezone.now()
        if group := Group.objects.filter(pk=key).first():
            changed = copy_decision(group, actor=actor_of(request), now=now)
            self.message_user(request, f"Changed groups of other sites: {len(changed)}.")
        return _to_group(request, key)

    # --- Comparisons --------------------------------------------------------------------------

    def policies(self, request: HttpRequest) -> HttpResponse:
        found = policies.differences(timezone.now(), span=timedelta(hours=CHART_HOURS))
        return self.page(
            request,
            "policies",
            "Policies of reports",
            differences=found,
            several=sites.are_several(),
        )

    def releases(self, request: HttpRequest) -> HttpResponse:
        """Compares two versions, or with the parameter `at`, before and after a time."""
        now, parameters = timezone.now(), request.GET.dict()
        known = sites.sites_of_groups()
        page: dict[str, Any] = {"sites": known if len(known) > 1 else []}
        chosen = page["versions"] = releases.choice(parameters)
        if chosen and "at" not in parameters:
            page["lists"] = releases.by_version(chosen, now=now)
        else:
            page |= _compared_by_time(parameters, known, now)
        return self.page(request, "releases", "Before and after a release", **page)

    def site_policy(self, request: HttpRequest) -> HttpResponse:
        """Shows the whole policy of a site, by default of the site with the first name."""
        known, site = sites.sites_of_groups(), request.GET.get("site", "")
        site = site if site in known else next(iter(known), OTHER_SITE)
        found = site_policy(site, now=timezone.now(), chosen=request.GET.get("policy", ""))
        return self.page(
            request,
            "site_policy",
            f"Policy of {site}",
            site=site,
            sites=known,
            found=found,
            directives=policies.directives(found.sent.text) if found else [],
        )


def _outcome(group: Any, decision: Decision) -> str:
    """Returns the state after the decision in words."""
    state = decision.state or group.current
    if state != State.IGNORED:
        return str(state)
    limits = [
        *([f"{group.ignored_until:%Y-%m-%d}"] if group.ignored_until else []),
        *([f"it has {group.ignored_reach:,} clients"] if group.ignored_reach else []),
    ]
    return f"ignored until {' or '.join(limits)}" if limits else "ignored for good"


def _is_list(request: HttpRequest) -> bool:
    return request.path == reverse(GROUPS)


def _list_query(request: HttpRequest) -> str:
    """Returns the part of the query that names the list from which the reader came."""
    names = (LIST_FILTERS, "site")
    found = {name: request.GET[name] for name in names if request.GET.get(name)}
    return f"?{urlencode(found)}" if found else ""


def _to_group(request: HttpRequest, key: UUID | str) -> HttpResponse:
    page = reverse("admin:csp_group_change", args=[key])
    return redirect(f"{page}{_list_query(request)}")


def _compared_by_time(
    parameters: dict[str, str], known: Sequence[str], now: datetime
) -> dict[str, Any]:
    site, at, error = parameters.get("site", ""), now - timedelta(days=1), ""
    site = site if site in known else ""
    if text := parameters.get("at"):
        try:
            at = releases.moment_of(text, now=now)
        except ValueError:
            error = "Enter a date and a time in the past."
    hours, lists = releases.by_time(at, now=now, site=site)
    found = {"at": at, "error": error, "site": site, "hours": hours, "lists": lists}
    return found | {"begin": whole_hour(at)}


class DecisionForm(forms.Form):
    """The form on the page of a group."""

    state = forms.ChoiceField(
        choices=[("", "Keep the state"), *State.choices],
        required=False,
        # Django would repeat the wrong value, which may be long.
        error_messages={"invalid_choice": "Choose a state from the list."},
    )
    note = forms.CharField(max_length=MAX_NOTE, required=False, strip=True)
    ignored_until = forms.DateField(required=False)
    ignored_reach = forms.IntegerField(min_value=1, max_value=2**31, required=False)
    assigned_to = forms.CharField(max_length=256, required=False)

    decision: Decision

    def clean_ignored_until(self) -> datetime | None:
        day = self.cleaned_data["ignored_until"]
        return datetime.combine(day, time(), tzinfo=UTC) if day else None

    def clean(self) -> None:
        found = self.cleaned_data
        # A form without the field keeps the user.
        found["assigned_to"] = found.get("assigned_to") if "assigned_to" in self.data else None
        # A limit without a state means that the group is ignored up to this limit.
        has_limit = found.get("ignored_until") or found.get("ignored_reach")
        found["state"] = found.get("state") or (State.IGNORED if has_limit else None)
        self.decision = Decision(**found)
        for name, problem in checked(self.decision, now=timezone.now()).items():
            self.add_error(name, problem)


def _group_page(group: Any) -> dict[str, Any]:
    now = timezone.now()
    start, counts = selectors.hourly_counts(group, now=now, hours=CHART_HOURS)
    others = same_cause(group, now)[:MAX_LINKS] if sites.are_several() else []
    facets, advice, policy = details(group, now=now)
    reports = list(group.reports.all()[:NEWEST_REPORTS])
    return {
        "cause": cause(group.directive, group.blocked),
        "where": sites.where(group),
        "others": [{"group": other, "badge": state_badge(other.current)} for other in others],
        "badges": badges(*mark_new([group])),
        "versions": clients_by_version(group),
        "states": State.choices,
        "users": decisions.assignable_users().values_list("username", flat=True)[:MAX_USERS],
        "activity": activity(group),
        "facets": facets,
        "advice": advice,
        "hashes": other_reports.hashes(group),
        "policy": policies.directives(policy),
        "governing": governing_directive(parse(policy), group.directive),
        "is_only_reported": [each["value"] for each in facets["Disposition"]] == ["report"],
        "is_own": bool(reports) and is_own(reports[0].document_uri),
        "chart": hourly_chart(start, [Series("reports", counts)], bars=True),
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
        "reason": f"The group {group}.",
    }
    return reverse("admin:csp_noiserule_add", query=values)


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
        ("browser", "version", "format", "status_code"),
        "user_agent",
        "extra",
    ]
    # Not a join, which would omit a report whose group was deleted.
    more_columns = {"site": Subquery(Group.objects.filter(pk=OuterRef("group_id")).values("site"))}

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return RowsOfLargeTable

    @admin.display
    def site(self, report: Report) -> str:
        return report.group.site

    @admin.display
    def noise_rule(self, report: Report) -> str:
        rule = NoiseRule.objects.filter(groups=report.group_id).first()
        return row_link(rule) if rule else "none"


class NoiseRuleForm(forms.ModelForm[NoiseRule]):
    class Meta:
        model = NoiseRule
        fields = ["name", "category", "target", "pattern", "reason", "source", "enabled"]

    def clean_pattern(self) -> str:
        found = self.cleaned_data
        try:
            return checked_pattern(found.get("target", ""), found["pattern"])
        except ValueError as error:
            raise ValidationError(str(error)) from None


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

    short_pattern = column(
        "pattern", lambda pattern: Truncator(pattern).chars(MAX_IN_LIST), "pattern"
    )

    @admin.display(description="hits in 7 days")
    def hits_in_a_week(self, rule: Any) -> int:
        return rule.week_hits or 0

    @admin.display(description="hits per day (UTC)")
    def hits_by_day(self, rule: NoiseRule) -> SafeString:
        hits = selectors.daily_hits(rule, now=timezone.now(), days=DAYS_OF_HITS)
        return format_html_join(mark_safe("<br>"), "{}: {}", hits) or mark_safe("none")

    @admin.display(description="examples")
    def examples(self, rule: NoiseRule) -> SafeString:
        reports = selectors.examples(rule)
        rows = ((row_link(report), report.browser) for report in reports)
        shown = format_html_join("", "<li>{} {}</li>", rows)
        every = reverse(
            "admin:csp_group_changelist", query={"noise": "all", "rule__id__exact": rule.pk}
        )
        return format_html('<ul class="uri">{}</ul><a href="{}">Show all groups</a>', shown, every)

    def save_model(self, request: HttpRequest, obj: NoiseRule, form: Any, change: bool) -> None:
        services.save_noise_rule(obj, actor=actor_of(request), now=timezone.now())
        if {"target", "pattern"} & set(form.changed_data):
            self._show_matches(request, obj)

    def _show_matches(self, request: HttpRequest, rule: NoiseRule) -> None:
        """Lists the visible groups in which all or some reports match the rule. Changes nothing."""
        wholly, partly = dry_run(rule)
        for text, groups in (
            ("In these groups, all stored reports match {}:", wholly),
            ("In these groups, only some stored reports match {}:", partly),
        ):
            if groups:
                message = format_html("{} {}", text.format(rule.name), _links(groups))
                self.message_user(request, message)
        if wholly:
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
    readonly_fields = ["key", "created_at", "check_link"]
    pages = {"<int:pk>/check/": "check_site"}

    @admin.display(description="check")
    def check_link(self, key: IngestKey) -> str:
        if key._state.adding:
            return "Save the key first."
        page = reverse("admin:csp_ingestkey_check_site", args=[key.pk])
        return format_html('<a href="{}">Headers for your pages, and reports so far</a>', page)

    def check_site(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Shows the headers that pages need, and whether their reports arrive."""
        key = get_object_or_404(IngestKey, pk=pk)
        found = site_check(key, now=timezone.now())
        return self.page(request, "check", f"Check {key.name}", key=key, found=found)

    def save_model(self, request: HttpRequest, obj: IngestKey, form: Any, change: bool) -> None:
        services.save_ingest_key(obj, actor=actor_of(request), now=timezone.now())

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Returns False, because keys are retired instead.

        A report with a retired key gets a 410 response, so that the browser stops sending reports.
        """
        return False


class KeyFilter(ValuesFilter):
    """Filters by ingest key. Requests without a key are shown as in the column."""

    empty = NO_KEY


@admin.register(Rejection)
class RejectionAdmin(ReadOnlyAdmin):
    list_display = ["day", "reason", "key_name", "from_origin", "count", "last"]
    list_filter = ["reason", ("key", KeyFilter)]
    search_fields = ["origin"]

    key_name = column("key", lambda name: name or NO_KEY, "ingest key")
    from_origin = column("origin", lambda origin: origin or "none", "origin")
    last = time_column("last_at", "last")


@admin.register(OtherReport)
class OtherReportAdmin(ExportingAdmin):
    list_display = [
        "type",
        "cause",
        "kind_of_page",
        "distinct_clients",
        "count",
        "key_name",
        "seen",
    ]
    list_filter = [("type", ValuesFilter), SiteFilter, ("key", KeyFilter)]
    search_fields = ["subject", "url", "page"]
    # The sketch of the clients is a list of hashes.
    exclude = ["clients"]

    key_name = column("key", lambda name: name or NO_KEY, "ingest key")
    distinct_clients = column("client_days", other_reports.humanized, "clients (sum of days)")
    seen = time_column("last_seen", "last seen")

    @admin.display(description="subject, and URL of the cause", ordering="subject")
    def cause(self, row: OtherReport) -> SafeString:
        shown = ((text,) for text in (row.subject, row.url) if text)
        return format_html_join(mark_safe("<br>"), '<span class="uri">{}</span>', shown)

    @admin.display(description="kind of page", ordering="page")
    def kind_of_page(self, row: OtherReport) -> SafeString:
        return format_html('<span class="uri">{}</span>', row.page)

    def get_list_display(self, request: HttpRequest) -> Any:
        """Adds the site if there are several."""
        return [*self.list_display, *(["site"] if sites.are_several() else [])]
