from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.contrib import admin, messages
from django.db.models import OuterRef, QuerySet, Subquery
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from deployment.history import differences, has_drifted, hosts_by_configuration, settings_of
from deployment.models import CoderUpdateCheck, ConfigRevision, NewCoderapiRelease
from deployment.own_releases import newer_release
from deployment.updatecheck import update
from kernel.admin import Line, ReadOnlyAdmin, State, register
from kernel.db.replicas import replicas
from kernel.text.humanize import since


@admin.register(ConfigRevision)
class ConfigRevisionAdmin(ReadOnlyAdmin):
    change_list_template = "admin/deployment/configrevision/change_list.html"
    list_display = [
        "id",
        "recorded_at",
        "short",
        "host",
        "server_version",
        "coder_url",
        "changes",
    ]
    list_filter = ["host", "server_version"]
    actions = ["compare"]
    pages = {"<int:before>/<int:after>/": "diff"}
    fields = [
        "recorded_at",
        "digest",
        "host",
        "server_version",
        "coder_url",
        "changes",
        "options",
    ]

    def get_queryset(self, request: HttpRequest) -> QuerySet[ConfigRevision]:
        earlier = ConfigRevision.objects.filter(pk__lt=OuterRef("pk"))
        previous = earlier.filter(coder_url=OuterRef("coder_url")).values("pk")[:1]
        revisions = super().get_queryset(request).defer("values", "sources", "secret_digests")
        found: QuerySet[ConfigRevision] = revisions.annotate(previous=Subquery(previous))
        return found

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        hosts = hosts_by_configuration(replicas())
        context = {"running": hosts, "has_drifted": has_drifted(hosts)}
        return super().changelist_view(request, {**context, **(extra_context or {})})

    @admin.display
    def changes(self, revision: Any) -> SafeString:
        """Links to the differences from the previous revision of the same server."""
        if not revision.previous:
            return SafeString("first revision")
        url = reverse("admin:deployment_configrevision_diff", args=[revision.previous, revision.pk])
        return format_html('<a href="{}">Changed options</a>', url)

    def options(self, revision: ConfigRevision) -> SafeString:
        """Returns an HTML table with the name, value and source of each option."""
        row = "<tr><td>{}</td><td>{}</td><td>{}</td></tr>"
        return format_html(
            "<table><thead><tr><th>Option</th><th>Value</th><th>Set by</th></tr></thead>"
            "<tbody>{}</tbody></table>",
            format_html_join("", row, settings_of(revision)),
        )

    @admin.action(description="Compare the two selected revisions", permissions=["view"])
    def compare(
        self, request: HttpRequest, selected: QuerySet[ConfigRevision]
    ) -> HttpResponse | None:
        numbers = sorted(selected.values_list("pk", flat=True)[:3])
        if len(numbers) != 2:
            self.message_user(request, "Select two revisions to compare.", messages.WARNING)
            return None
        return HttpResponseRedirect(reverse("admin:deployment_configrevision_diff", args=numbers))

    def diff(self, request: HttpRequest, before: int, after: int) -> HttpResponse:
        """Shows the differences between two revisions."""
        old = get_object_or_404(ConfigRevision, pk=before)
        new = get_object_or_404(ConfigRevision, pk=after)
        context = {"revisions": [old, new], "differences": differences(old, new)}
        return self.page(request, "diff", f"From {old} to {new}", **context)


CHECK_LATE_AFTER = timedelta(days=3)


def _own_release() -> list[Line]:
    """Returns nothing unless a feed of releases is configured."""
    lines = []
    if release := newer_release():
        state = State.BAD if release.is_security else State.NOTICE
        news = "fixes a vulnerability" if release.is_security else "is available"
        lines = [Line("coderapi", f"{release.version} {news}", state, release.url)]
    elif settings.RELEASE_FEED:
        lines = [Line("coderapi", f"{settings.VERSION} is current", State.GOOD)]
    error = NewCoderapiRelease.objects.exclude(error="").first() if settings.RELEASE_FEED else None
    return [*lines, Line("feed of releases", error.error, State.NOTICE)] if error else lines


def _coder_release(now: datetime) -> list[Line]:
    if not settings.UPDATE_CHECK:
        return [Line("check", "disabled")]
    check = CoderUpdateCheck.objects.first()
    if check is None:
        return [Line("check", "has not run yet", State.NOTICE)]
    is_late = check.succeeded_at is None or now - check.succeeded_at > CHECK_LATE_AFTER
    state = State.NOTICE if is_late else State.PLAIN
    lines = [_release(check), Line("checked", since(check.succeeded_at, now), state)]
    if check.error:
        lines.append(Line("offline", check.error, State.NOTICE))
    return lines


def _release(check: CoderUpdateCheck) -> Line:
    if not check.version:
        return Line("newest release", "not known yet", State.NOTICE)
    release = update()
    if release.current:
        return Line("Coder", f"{release.version} is current", State.GOOD, release.url)
    return Line("Coder", f"{release.version} is available", State.NOTICE, release.url)


def _configuration(now: datetime) -> list[Line]:
    newest = ConfigRevision.objects.first()
    link = reverse("admin:deployment_configrevision_changelist")
    if has_drifted(hosts_by_configuration(replicas())):
        servers = Line("servers", "run different configurations", State.NOTICE, link)
    else:
        servers = Line("servers", "run the same configuration", State.GOOD, link)
    return [Line("changed", since(newest.recorded_at if newest else None, now), link=link), servers]


register("Configuration", _configuration, order=30)
register("Updates", lambda now: [*_own_release(), *_coder_release(now)], order=80)
