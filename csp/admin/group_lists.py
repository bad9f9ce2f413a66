"""The list from which a reader has opened a group: the links stay in it."""

from __future__ import annotations

from contextlib import nullcontext
from copy import copy
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import ChangeList
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone

from csp.triage.overview import LIST_FILTERS, WHOLE_LIST
from csp.triage.selectors import attention_lists, neighbors
from kernel.admin import Rows, ServiceAdmin, bounded_search

GROUPS = "admin:csp_group_changelist"
LIST_OF_ALL = urlencode({LIST_FILTERS: WHOLE_LIST})


class UnreadRows(Rows):
    """A list that has filters, a search and an order, but reads no rows."""

    def get_results(self, request: HttpRequest) -> None:
        """Reads no rows."""


class GroupLists(ServiceAdmin[Any]):
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
