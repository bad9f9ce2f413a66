"""The list of violation groups, and the page of a group."""

from __future__ import annotations

import re
from itertools import chain
from operator import attrgetter
from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import slugify

from csp.admin.filters import (
    AssigneeFilter,
    DirectiveFilter,
    HostFilter,
    NewInFilter,
    NoiseFilter,
    SiteFilter,
    StateFilter,
)
from csp.admin.group_decisions import Decisions, list_query
from csp.advice.policy import governing_directive, parse
from csp.export import ExportingAdmin
from csp.models import WINDOW_DAYS, Group, Report, State, window
from csp.noise.rules import pattern_for
from csp.scrubbing.address import OTHER_SITE, address_of
from csp.triage import decisions, sites
from csp.triage.activity import activity
from csp.triage.decisions import same_cause
from csp.triage.details import details, is_own, next_step, rules_shown
from csp.triage.overview import (
    badges,
    breakable,
    group_chart,
    mark_days,
    sparkline,
)
from csp.triage.policies.comparison import directives
from csp.triage.policies.whole import site_policy
from csp.triage.releases import versions as releases
from csp.triage.releases.versions import client_days_by_version, mark_new
from csp.triage.selectors import groups_at
from csp.writing import distinct
from kernel.admin import column, time_column
from kernel.text import humanize

MAX_LINKS = 20
# The maximum number of users in the list of the form from which a group is assigned.
MAX_USERS = 200
NEWEST_REPORTS = 20
of_site = column("site", breakable, "site")


@admin.register(Group)
class GroupAdmin(Decisions, ExportingAdmin):
    """Lists the violation groups, most clients first."""

    list_display = [
        "cause_in_words",
        badges,
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
    search_fields = ["blocked_source", "directive"]
    list_per_page = 50
    more_columns = {
        "current": attrgetter("current"),
        "noise": lambda group: group.noise_rule.category if group.noise_rule else "",
        "title": str,
        "next_step": next_step,
    }
    actions = [*ExportingAdmin.actions, "acknowledge", "ignore", "resolve", "reopen"]
    pages = {
        "releases/": "releases",
        "site-policy/": "site_policy",
        "undo/": "undo",
        "<uuid:key>/decide/": "decide",
        "<uuid:key>/copy/": "copy_decision",
    }

    def get_queryset(self, request: HttpRequest) -> Any:
        return groups_at(timezone.now())

    def get_list_display(self, request: HttpRequest) -> Any:
        """Adds the site if there are several."""
        first, *others = self.list_display
        return [first, *([of_site] if sites.several_sites() else []), *others]

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        """Reads the daily numbers and the versions of all rows of the page at once."""
        found = super().get_changelist_instance(request)
        mark_days(mark_new(found.result_list), timezone.now())
        return found

    @admin.display(description="cause", ordering="blocked_source")
    def cause_in_words(self, group: Group) -> SafeString:
        return breakable(group)

    clients = column("client_days", distinct.humanized, f"client days, {WINDOW_DAYS} days")
    distinct_pages = column("pages", distinct.humanized, "pages")

    @admin.display(description="reports", ordering="reports")
    def reports_in_days(self, group: Any) -> SafeString:
        """Shows the number of reports, and a drawing of the last seven days."""
        return format_html("{}<br>{}", humanize.count(group.reports), sparkline(group.days))

    first = time_column("first_seen", "first seen")
    seen = time_column("last_seen", "last seen")

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        group = context["original"]
        context |= _group_page(group)
        context["neighbors"] = self.neighbors_in_list(request, group)
        context["decides"] = self.has_decide_permission(request)
        context["list_query"] = list_query(request)
        return super().render_change_form(request, context, *args, **kwargs)

    # --- Pages of a site --------------------------------------------------------------------------

    def releases(self, request: HttpRequest) -> HttpResponse:
        """Compares two versions of a site."""
        chosen = releases.choice(request.GET.dict())
        lists = releases.by_version(chosen, now=timezone.now()) if chosen else []
        page = {"versions": chosen, "lists": lists, "sites": sites.several_sites()}
        return self.page(request, "releases", "Two versions of a site", **page)

    def site_policy(self, request: HttpRequest) -> HttpResponse:
        """Shows the whole policy of a site, by default of the site of the largest group."""
        now, known, site = timezone.now(), sites.sites_of_groups(), request.GET.get("site", "")
        if site not in known:
            largest = groups_at(now).visible().exclude(site=OTHER_SITE).first()
            site = largest.site if largest else OTHER_SITE
        found = site_policy(site, now=now, chosen=request.GET.get("policy", ""))
        return self.page(
            request,
            "site_policy",
            f"Policy of {site}",
            site=site,
            sites=known,
            found=found,
            directives=directives(found["sent"].text) if found else [],
        )


def _group_page(group: Any) -> dict[str, Any]:
    now = timezone.now()
    others = same_cause(group, now)[:MAX_LINKS] if sites.several_sites() else []
    facets, advice, policy = details(group, now=now)
    stored = group.stored_reports
    newest = (stored.filter(noise_rule_id=rule)[:NEWEST_REPORTS] for rule in rules_shown(group))
    reports = list(chain.from_iterable(newest))[-NEWEST_REPORTS:]
    return {
        "where": sites.where(group),
        "others": others,
        "badges": badges(*mark_new([group])),
        "window": window(now),
        "versions": client_days_by_version(group),
        "states": State.choices,
        "users": decisions.assignable_users().values_list("username", flat=True)[:MAX_USERS],
        "activity": activity(group),
        "facets": {name.replace("_", " ").capitalize(): rows for name, rows in facets.items()},
        "advice": advice,
        "policy": directives(policy),
        "governing": governing_directive(parse(policy), group.directive),
        "is_only_reported": [each["value"] for each in facets["disposition"]] == ["report"],
        "is_own": bool(reports) and is_own(reports[0].document_uri),
        "chart": group_chart(group, now=now),
        "reports": reports,
        "rule_url": _rule_url(group, reports[0]) if reports and group.noise_rule_id is None else "",
    }


def _rule_url(group: Group, newest: Report) -> str:
    """Returns the URL of the form for a new noise rule, filled in for the group, or "".

    The rule hides reports of the group's site only.
    """
    found = pattern_for(
        blocked=address_of(newest.blocked_uri),
        source=address_of(newest.source_file),
        document=address_of(newest.document_uri),
    )
    if found is None:
        return ""
    target, pattern = found
    site = group.site if sites.several_sites() else ""
    name = " ".join([target, pattern, site.rpartition("/")[2]])
    values = {
        "name": slugify(re.sub("[.:]", "-", name))[:64],
        "category": "own",
        "target": target,
        "pattern": pattern,
        "site": site,
        "reason": f"The group {group}.",
        "label_stored": "on",
    }
    return reverse("admin:csp_noiserule_add", query=values)
