from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from deployment.history import differences, has_drifted, running, settings_of
from deployment.models import ConfigRevision
from kernel.admin import ReadOnlyAdmin

DIFF = "deployment_configrevision_diff"


@admin.register(ConfigRevision)
class ConfigRevisionAdmin(ReadOnlyAdmin):
    change_list_template = "admin/deployment/configrevision/change_list.html"
    list_display = ["id", "recorded_at", "short", "host", "version"]
    list_filter = ["host", "version"]
    actions = ["compare"]
    fields = ["recorded_at", "digest", "host", "version", "options"]

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.diff)
        return [path("<int:before>/<int:after>/", view, name=DIFF), *super().get_urls()]

    def get_queryset(self, request: HttpRequest) -> QuerySet[ConfigRevision]:
        return super().get_queryset(request).defer("values", "sources", "secrets")

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        hosts = running()
        found = {"running": hosts, "has_drifted": has_drifted(hosts)}
        return super().changelist_view(request, {**found, **(extra_context or {})})

    @admin.display(description="options")
    def options(self, revision: ConfigRevision) -> SafeString:
        """Returns a table row for each option: its name, its value and its source."""
        lines = ((each.name, each.value, each.source) for each in settings_of(revision))
        return format_html(
            "<table><thead><tr><th>Option</th><th>Value</th><th>Set by</th></tr></thead>"
            "<tbody>{}</tbody></table>",
            format_html_join("", "<tr><td>{}</td><td>{}</td><td>{}</td></tr>", lines),
        )

    @admin.action(description="Compare the two selected revisions", permissions=["view"])
    def compare(
        self, request: HttpRequest, chosen: QuerySet[ConfigRevision]
    ) -> HttpResponse | None:
        numbers = sorted(chosen.values_list("pk", flat=True)[:3])
        if len(numbers) != 2:
            self.message_user(request, "Select two revisions to compare.", messages.WARNING)
            return None
        return HttpResponseRedirect(reverse(f"admin:{DIFF}", args=numbers))

    def diff(self, request: HttpRequest, before: int, after: int) -> HttpResponse:
        """Shows the differences between two revisions."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        one = get_object_or_404(ConfigRevision, pk=before)
        other = get_object_or_404(ConfigRevision, pk=after)
        context: dict[str, Any] = {
            **self.admin_site.each_context(request),
            "title": f"From {one} to {other}",
            "opts": self.opts,
            "revisions": [one, other],
            "differences": differences(one, other),
        }
        return TemplateResponse(request, "admin/deployment/configrevision/diff.html", context)
