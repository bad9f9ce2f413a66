from __future__ import annotations

import uuid
from typing import Any, cast

from django.contrib import admin
from django.db.models import Model, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.html import format_html, format_html_join

from audit.models import Entry, EntryQuerySet
from audit.services import ACTIONS
from kernel.admin import ReadOnlyAdmin, ServiceAdmin, TextFilter, choice_filter, row_link
from kernel.http.views.base import download
from kernel.text.humanize import duration

_models: dict[str, type[Model]] = {}


def register_target(target_type: str, model: type[Model]) -> None:
    """Registers the model of a target type, so that entries link to their target."""
    _models[target_type] = model


def entries_page(**filters: object) -> str:
    """Returns the URL of the list with these filters, for example `person` or `target_id`."""
    return reverse("admin:audit_entry_changelist", query=filters)


class AuditedAdmin[M: Model](ServiceAdmin[M]):
    """The base class of pages that change rows. The only log of the changes is the audit trail.

    Django's own log does not contain changes by the API and by commands.
    """

    def history_view(self, request: HttpRequest, object_id: str, *args: Any) -> HttpResponse:
        types = {model: name for name, model in _models.items()}
        return redirect(entries_page(target_type=types[self.model], target_id=object_id))

    def log_addition(self, *args: Any) -> Any: ...

    def log_change(self, *args: Any) -> Any: ...

    def log_deletions(self, *args: Any) -> Any: ...


class PersonFilter(TextFilter):
    """Filters entries by a user, who is the actor or the subject.

    The input is the user's id, or the username at the time of the entry.
    """

    title, parameter_name = "user", "person"
    hint = "username or id"

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        text, entries = (self.value() or "").strip(), cast("EntryQuerySet", queryset)
        if not text or "\0" in text:
            return entries.none() if text else entries
        try:
            return entries.of_person(uuid.UUID(text))
        except ValueError:
            # At the time of the entry.
            return entries.filter(Q(actor_name=text) | Q(subject_name=text))


ActionFilter = choice_filter(
    "action",
    {name: name for name in sorted(ACTIONS)},
    lambda entries, action: entries.filter(action=action),
)


@admin.register(Entry)
class EntryAdmin(ReadOnlyAdmin):
    list_display = ["created_at", "actor", "action", "target", "ip_address"]
    list_filter = [PersonFilter, ActionFilter, "created_at"]
    search_fields = [
        "actor_name",
        "action",
        "target_name",
        "target_id",
        "subject_name",
        "request_id",
    ]
    date_hierarchy = "created_at"
    show_facets = admin.ShowFacets.NEVER  # Facets would count all entries.
    actions = ["export"]
    fields = [
        "created_at",
        "actor",
        "action",
        "target",
        "subject",
        "changes",
        "ip_address",
        "request_id",
    ]

    @admin.display(ordering="actor_name")
    def actor(self, entry: Entry) -> str:
        """Returns a link to the entries of the actor."""
        return _link_to_person(entry.actor_id, entry.actor_name or "Not signed in")

    @admin.display(ordering="target_name")
    def target(self, entry: Entry) -> str:
        """Returns a link to the admin page of the target."""
        if not entry.target_id:
            return entry.target_name or entry.target_type
        name = f"{entry.target_type.replace('_', ' ')} {entry.target_name or entry.target_id}"
        model = _models.get(entry.target_type)
        return row_link(model(pk=entry.target_id), name) if model else name

    @admin.display(description="concerns")
    def subject(self, entry: Entry) -> str:
        """Returns a link to the entries that concern the same user."""
        name = entry.subject_name or str(entry.subject_id or "no user")
        return _link_to_person(entry.subject_id, name)

    @admin.display(description="before and after")
    def changes(self, entry: Entry) -> str:
        """Returns an HTML table with the values before and after the change."""
        before, after = entry.before or {}, entry.after or {}
        rows = [(name, _text(before, name), _text(after, name)) for name in before | after]
        if not rows:
            return "none"
        return format_html(
            '<table><thead><tr><th scope="col">Value</th><th scope="col">Before</th>'
            '<th scope="col">After</th></tr></thead><tbody>{}</tbody></table>',
            format_html_join("", '<tr><th scope="row">{}</th><td>{}</td><td>{}</td></tr>', rows),
        )

    @admin.action(description="Export as JSON lines", permissions=["view"])
    def export(self, request: HttpRequest, queryset: EntryQuerySet) -> HttpResponseBase:
        return download(
            request,
            queryset.json_lines(),
            content_type="application/jsonl; charset=utf-8",
            name="audit.jsonl",
        )


def _link_to_person(user_id: uuid.UUID | None, name: str) -> str:
    if user_id is None:
        return name
    return format_html('<a href="{}">{}</a>', entries_page(person=user_id), name)


def _text(values: dict[str, Any], name: str) -> str:
    """Formats a value for people, for example a lifetime in days, or a list with commas."""
    value = values.get(name)
    if value is None:
        return ""
    if isinstance(value, int) and name.endswith(("_ns", "_lifetime")):
        return duration(value)
    if isinstance(value, list):
        return ", ".join(str(each) for each in value) or "none"
    return str(value)
