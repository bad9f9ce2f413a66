from __future__ import annotations

from django.contrib import admin
from django.http import HttpRequest, StreamingHttpResponse

from audit.models import Entry, EntryQuerySet
from kernel.admin import ReadOnlyAdmin


@admin.register(Entry)
class EntryAdmin(ReadOnlyAdmin):
    list_display = ["at", "actor_name", "action", "target_type", "target_name", "address"]
    list_filter = ["action", "target_type", "at"]
    search_fields = ["actor_name", "target_name", "target_id", "request_id"]
    date_hierarchy = "at"
    actions = ["export"]

    @admin.action(description="Export as JSON lines", permissions=["view"])
    def export(self, request: HttpRequest, queryset: EntryQuerySet) -> StreamingHttpResponse:
        response = StreamingHttpResponse(
            queryset.json_lines(), content_type="application/jsonl; charset=utf-8"
        )
        response.headers["Content-Disposition"] = 'attachment; filename="audit.jsonl"'
        return response
