from __future__ import annotations

from django.contrib import admin

from audit.models import Entry
from coderapi.admin_base import ReadOnlyAdmin


@admin.register(Entry)
class EntryAdmin(ReadOnlyAdmin):
    list_display = ["at", "actor_name", "action", "target_type", "target_name", "address"]
    list_filter = ["action", "target_type", "at"]
    search_fields = ["actor_name", "target_name", "target_id", "request_id"]
    date_hierarchy = "at"
