from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.conf import settings
from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.http import HttpRequest
from django.utils.html import format_html

from audit.admin import register_target
from beside.models import CoderToken
from kernel.admin import ReadOnlyAdmin, State, badge, time_column
from kernel.text import humanize
from users.scopes import ALL

register_target("coder_token", CoderToken)


class FoundFilter(admin.EmptyFieldListFilter):
    """Shows "yes" and "no" instead of "Not empty" and "Empty"."""

    def choices(self, changelist: ChangeList) -> Iterator[Any]:
        for choice in super().choices(changelist):
            text = str(choice["display"]).replace("Not empty", "yes").replace("Empty", "no")
            yield {**choice, "display": text}


@admin.register(CoderToken)
class CoderTokenAdmin(ReadOnlyAdmin):
    """Lists the tokens of the Coder deployment, and the limits that they violate."""

    list_display = [
        *("id", "token_name", "username", "scope_names", "used", "expires", "policy", "read")
    ]
    list_filter = [("violation_found_at", FoundFilter)]
    search_fields = ["id", "token_name", "username"]
    fields = [
        *("id", "token_name", "username", "scope_names", "lifetime", "created", "used", "expires"),
        *("policy", "found", "warned", "read"),
    ]

    created = time_column("created_at", "created")
    used = time_column("last_used", "last used")
    expires = time_column("expires_at", "expires")
    found = time_column("violation_found_at", "violation found")
    warned = time_column("warned_at", "user warned")
    read = time_column("read_at", "read from Coder")

    def has_module_permission(self, request: HttpRequest) -> bool:
        return bool(settings.CODER_URL) and super().has_module_permission(request)

    @admin.display(description="scopes")
    def scope_names(self, token: CoderToken) -> str:
        return "Full access" if ALL in token.scopes else ", ".join(token.scopes)

    @admin.display(ordering="lifetime_ns")
    def lifetime(self, token: CoderToken) -> str:
        return humanize.duration(token.lifetime_ns)

    @admin.display(ordering="violation_found_at")
    def policy(self, token: CoderToken) -> str:
        if not token.violations:
            return badge("met", State.GOOD)
        return format_html("{} {}", badge("violated", State.BAD), "; ".join(token.violations))
