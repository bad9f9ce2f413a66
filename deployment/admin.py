from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from deployment.history import differences, has_drifted, running, settings_of
from deployment.models import ConfigRevision
from kernel.admin import ReadOnlyAdmin


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
        "csp_reports",
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
        "csp_reports",
        "options",
    ]

    def get_queryset(self, request: HttpRequest) -> QuerySet[ConfigRevision]:
        return super().get_queryset(request).defer("values", "sources", "secret_digests")

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        hosts = running()
        context = {"running": hosts, "has_drifted": has_drifted(hosts)}
        return super().changelist_view(request, {**context, **(extra_context or {})})

    @admin.display(description="CSP reports")
    def csp_reports(self, revision: ConfigRevision) -> SafeString:
        at = f"{revision.recorded_at:%Y-%m-%dT%H:%M}"
        url = reverse("admin:csp_group_releases", query={"at": at})
        return format_html('<a href="{}">Compare before and after</a>', url)

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
