"""Decisions about groups: the form, the actions, how to take them back, and the next group."""

from __future__ import annotations

from contextlib import nullcontext
from copy import copy
from datetime import UTC, datetime, time, timedelta
from typing import Any, cast
from urllib.parse import urlencode
from uuid import UUID

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import ChangeList
from django.core import signing
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.views.decorators.http import require_POST

from audit.admin import AuditedAdmin
from audit.services import actor_of
from csp.models import Group, State
from csp.triage import decisions, sites
from csp.triage.decisions import MAX_NOTE, Decision, checked, copy_decision, decide
from csp.triage.overview import LIST_FILTERS, WHOLE_LIST
from csp.triage.selectors import attention_lists, groups_at, neighbors
from kernel.admin import Rows, bounded_search, row_link

# The maximum number of groups that an action changes at once.
MAX_DECISIONS = 1_000
GROUPS = "admin:csp_group_changelist"
LIST_OF_ALL = urlencode({LIST_FILTERS: WHOLE_LIST})
# The maximum number of groups whose decisions can be undone together.
MAX_UNDONE = 50
UNDO = "csp.group.undo"
# The form is in the template `admin/csp/undo.html`.
UNDO_BUTTON = '<button type="submit" form="undo" name="undo" value="{}">Undo (u)</button>'


class UnreadRows(Rows):
    """A list that has filters, a search and an order, but reads no rows."""

    def get_results(self, request: HttpRequest) -> None:
        """Reads no rows."""


class GroupLists(AuditedAdmin[Any]):
    """Finds the neighbors of a group in the list from which the reader came."""

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return Rows if is_list(request) else UnreadRows

    def get_preserved_filters(self, request: HttpRequest) -> str:
        """Returns the filters of the list for the links to groups. Never returns "" on the list.

        Otherwise, the page of a group could not know that the reader came from the list.
        """
        found = super().get_preserved_filters(request)
        return found or (LIST_OF_ALL if is_list(request) else "")

    def neighbors_in_list(
        self, request: HttpRequest, group: Any
    ) -> tuple[UUID | None, UUID | None]:
        """Returns the neighbors of the group in the list from which the reader came.

        The query has the filters, the search and the order of this list. Without them, the list has
        the groups that need attention, of all sites or of the site in the query.
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


def is_list(request: HttpRequest) -> bool:
    return request.path == reverse(GROUPS)


def list_query(request: HttpRequest) -> str:
    """Returns the part of the query that names the list from which the reader came."""
    names = (LIST_FILTERS, "site")
    found = {name: request.GET[name] for name in names if request.GET.get(name)}
    return f"?{urlencode(found)}" if found else ""


def to_group(request: HttpRequest, key: UUID | str) -> HttpResponse:
    page = reverse("admin:csp_group_change", args=[key])
    return redirect(f"{page}{list_query(request)}")


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
    ignored_client_days = forms.IntegerField(min_value=1, max_value=2**31, required=False)
    assigned_to = forms.CharField(max_length=256, required=False)

    decision: Decision

    def clean_ignored_until(self) -> datetime | None:
        day = self.cleaned_data["ignored_until"]
        return datetime.combine(day, time(), tzinfo=UTC) if day else None

    def clean(self) -> None:
        found = self.cleaned_data
        # A limit without a state means that the group is ignored up to this limit.
        if found.get("ignored_until") or found.get("ignored_client_days"):
            found["state"] = found.get("state") or State.IGNORED
        is_kept = {"state": not found.get("state"), "assigned_to": "assigned_to" not in self.data}
        members = {name: value for name, value in found.items() if not is_kept.get(name)}
        self.decision = cast("Decision", members)
        for name, problem in checked(self.decision, now=timezone.now()).items():
            self.add_error(name, problem)


class Decisions(GroupLists):
    """The actions of the list, and the addresses to which the forms of a group are sent."""

    @admin.action(description="Acknowledge", permissions=["decide"])
    def acknowledge(self, request: HttpRequest, groups: QuerySet[Group]) -> None:
        self._decide(request, groups, Decision(state=State.ACKNOWLEDGED))

    @admin.action(description="Ignore for good", permissions=["decide"])
    def ignore(self, request: HttpRequest, groups: QuerySet[Group]) -> None:
        for_good = Decision(state=State.IGNORED, ignored_until=None, ignored_client_days=None)
        self._decide(request, groups, for_good)

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
        changed = decide(keys, decision, actor=actor_of(request), now=timezone.now())
        text = f"Changed groups: {len(changed)}."
        if len(changed) == 1:
            # The next page is often the page of another group.
            outcome = _outcome(changed[0], decision)
            text = format_html("Saved the decision: {} is {}.", self._link(changed[0]), outcome)
        if 0 < len(changed) <= MAX_UNDONE:
            token = signing.dumps([each.undo for each in changed], salt=UNDO, compress=True)
            text = format_html("{} {}", text, format_html(UNDO_BUTTON, token))
        self.message_user(request, text)

    def _link(self, group: Group) -> SafeString:
        return row_link(group, f"{group}{sites.where(group)}")

    @method_decorator(require_POST)
    def decide(self, request: HttpRequest, key: UUID) -> HttpResponse:
        """Stores the state and the note from the form on the group's page."""
        if not self.has_decide_permission(request):
            raise PermissionDenied
        form, now = DecisionForm(request.POST), timezone.now()
        group: Any = get_object_or_404(groups_at(now), pk=key)
        _, following = self.neighbors_in_list(request, group)
        if form.is_valid():
            self._decide(request, Group.objects.filter(pk=key), form.decision)
        for name, errors in form.errors.items():
            self.message_user(request, f"{name}: {' '.join(map(str, errors))}", messages.ERROR)
        if form.errors or "go_on" not in request.POST:
            return to_group(request, key)
        if following is not None:
            return to_group(request, following)
        if filters := request.GET.get(LIST_FILTERS):
            self.message_user(request, "This was the last group of the list.")
            return redirect(f"{reverse(GROUPS)}?{filters}")
        self.message_user(request, "This was the last group that needs a decision.")
        return redirect(f"{reverse('admin:app_list', args=['csp'])}{list_query(request)}")

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
            return to_group(request, changes[0]["key"])
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
        return to_group(request, key)


def _outcome(group: Any, decision: Decision) -> str:
    """Returns the state after the decision in words."""
    state = decision.get("state", group.current)
    if state != State.IGNORED:
        return str(state)
    limits = [
        *([f"{group.ignored_until:%Y-%m-%d}"] if group.ignored_until else []),
        *(
            [f"{group.ignored_client_days:,} further client days"]
            if group.ignored_client_days
            else []
        ),
    ]
    return f"ignored until {' or '.join(limits)}" if limits else "ignored for good"
