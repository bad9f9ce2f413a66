"""The pages of ingest keys."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db.models import Q, Sum
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html

from audit.admin import AuditedAdmin
from audit.services import actor_of
from csp import services
from csp.access.origins import normalized
from csp.access.page_headers import headers_by_origin, version_note
from csp.models import GroupHour, IngestKey, Rejection, Report, midnight
from csp.triage.sites import sites_of_groups
from csp.writing.terms import sites_of

MAX_REJECTED = 20


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
class IngestKeyAdmin(AuditedAdmin[IngestKey]):
    form = IngestKeyForm
    list_display = ["name", "check_link", "value", "origins", "created_at", "retired_at"]
    search_fields = ["name", "value"]
    fields = ["check_link", "name", "origins", "retired_at", "value", "created_at"]
    readonly_fields = ["value", "created_at", "check_link"]
    pages = {"<int:pk>/check/": "check_site"}

    @admin.display(description="check")
    def check_link(self, key: IngestKey) -> str:
        if key._state.adding:
            return "Save the key first."
        page = reverse("admin:csp_ingestkey_check_site", args=[key.pk])
        return format_html('<a href="{}">Headers and reports</a>', page)

    def check_site(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Shows the headers that pages need, and whether their reports arrive."""
        key, now = get_object_or_404(IngestKey, pk=pk), timezone.now()
        origins = sites_of(key.origins)
        reports = Report.objects.filter(group__site__in=origins, received_at__gte=key.created_at)
        counted = GroupHour.objects.filter(group__site__in=origins, hour__gte=midnight(now))
        rejected = Rejection.objects.filter(
            Q(ingest_key=key.name) | Q(origin__in=origins), day=now.date()
        )
        found = {
            "headers": list(headers_by_origin(key.value, key.origins)),
            "sites": [site for site in sites_of_groups() if site in origins],
            "note": version_note(key.value),
            "newest": reports.select_related("group").order_by("-received_at", "-id").first(),
            "accepted": counted.aggregate(sum=Sum("reports"))["sum"] or 0,
            # The most frequent first, because a visitor can invent origins.
            "rejected": list(rejected.order_by("-requests", "-last_seen")[:MAX_REJECTED]),
        }
        return self.page(request, "check", f"Check {key.name}", key=key, found=found)

    def save_model(self, request: HttpRequest, obj: IngestKey, form: Any, change: bool) -> None:
        services.save_ingest_key(obj, actor=actor_of(request), now=timezone.now())

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Returns False, because keys are retired instead.

        A report with a retired key gets a 410 response, so that the browser stops sending reports.
        """
        return False
