"""The bases of our admin pages, their filters and badges, and the cards of the home page.

An app registers its cards in its module `admin_cards`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import cached_property
from typing import Any, cast

from django.contrib import admin
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.options import ActionLocation
from django.contrib.admin.views.main import ChangeList
from django.contrib.admin.widgets import AutocompleteSelect
from django.core.exceptions import ValidationError
from django.core.paginator import Paginator
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from kernel.http.errors import Validation, invalid
from kernel.humanize import since

logger = logging.getLogger(__name__)
MAX_COUNTED = 10_000


def _is_id(field: Any, text: str) -> bool:
    """Tells whether PostgreSQL could compare the text with an id of this field."""
    try:
        field.run_validators(field.to_python(text))
    except (ValidationError, ValueError, OverflowError):
        return False
    return True


class _RowSelect(AutocompleteSelect):
    """Offers nothing for a text that is no id, and leaves it to the form to refuse it."""

    def optgroups(self, name: str, value: Any, attr: Any = None) -> Any:
        key = cast("Any", self.field).target_field
        ids = [each for each in value if not each or _is_id(key, str(each))]
        return super().optgroups(name, ids, attr)


class ServiceAdmin[M: Model](admin.ModelAdmin[M]):
    """The base of every page of ours: what cannot be an id of a row is no error of the server."""

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name in self.get_autocomplete_fields(request):
            kwargs["widget"] = _RowSelect(db_field, self.admin_site)
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def response_action(
        self,
        request: HttpRequest,
        queryset: QuerySet[Any],
        action_location: ActionLocation = ActionLocation.CHANGE_LIST,
    ) -> HttpResponse | None:
        for chosen in request.POST.getlist(ACTION_CHECKBOX_NAME):
            self._require_id(chosen)
        return super().response_action(request, queryset, action_location)

    def _require_id(self, text: str) -> None:
        """Raises: APIError 400 for text that PostgreSQL could not even compare with an id."""
        if not _is_id(self.model._meta.pk, text):
            raise invalid(Validation(ACTION_CHECKBOX_NAME, "A row's id is expected."))


class ReadOnlyAdmin(ServiceAdmin[Any]):
    """Rows to look at: nobody adds, changes or deletes them here, owners included."""

    show_full_result_count = False

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        """Leaves out the way to a history: what nobody changes here has none."""
        context["has_history"] = False
        return super().render_change_form(request, context, *args, **kwargs)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


def row_link(row: Model, text: object = None) -> SafeString:
    """Links to the page of a row, which has its name unless another text is given."""
    name = f"admin:{row._meta.app_label}_{row._meta.model_name}_change"
    return format_html('<a href="{}">{}</a>', reverse(name, args=[row.pk]), text or row)


def time_column(field: str, name: str) -> Callable[[Any, Any], str]:
    """Makes a column, or a line of a form, that shows a time as seen from now."""

    @admin.display(description=name, ordering=field)
    def column(_: Any, row: Any) -> str:
        return since(getattr(row, field))

    return column


class BoundedPaginator(Paginator[Any]):
    """Counts no more than it can show in a moment. Who looks for older rows filters by day."""

    @cached_property
    def count(self) -> int:
        rows: Any = self.object_list
        return int(rows.order_by()[:MAX_COUNTED].count())


class ValuesFilter(admin.AllValuesFieldListFilter):
    """Offers the values of a column; the empty one has a name too."""

    def choices(self, changelist: ChangeList) -> Iterator[Any]:
        for choice in super().choices(changelist):
            yield {**choice, "display": str(choice["display"]).strip() or "unknown"}


class TextFilter(admin.SimpleListFilter):
    """Filters by a text that people type, where a list of choices would be too long."""

    template = "admin/text_filter.html"
    hint = ""

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        # Django leaves out a filter without choices.
        return [("", "")]

    def choices(self, changelist: ChangeList) -> Iterator[Any]:
        others = changelist.params.items()
        yield {
            "name": self.parameter_name,
            "hint": self.hint,
            "value": self.value() or "",
            "kept": [(name, value) for name, value in others if name != self.parameter_name],
            "query_string": changelist.get_query_string(remove=[str(self.parameter_name)]),
        }


class State(StrEnum):
    """A state as a word beside the value: colour alone would not reach everybody."""

    PLAIN = ""
    GOOD = "ok"
    NOTICE = "look"
    BAD = "bad"


def badge(word: str, state: State) -> SafeString:
    """Frames a word in the colour of a state."""
    return format_html('<span class="state state-{}">{}</span>', state or "plain", word)


@dataclass(frozen=True, slots=True)
class Line:
    """One fact of a card: its name, its value, its state, and a page that says more."""

    name: str
    value: str
    state: State = State.PLAIN
    link: str = ""


@dataclass(frozen=True, slots=True)
class Card:
    title: str
    lines: Sequence[Line]


@dataclass(frozen=True, slots=True)
class _Registered:
    order: int
    title: str
    lines: Callable[[datetime], Sequence[Line]]


_registered: list[_Registered] = []


def register(title: str, lines: Callable[[datetime], Sequence[Line]], *, order: int) -> None:
    """Adds a card. `lines` returns its facts at a moment, at a bounded cost."""
    _registered.append(_Registered(order, title, lines))


def cards(now: datetime) -> list[Card]:
    """Returns all cards in order. One whose facts cannot be read says so, and the others stand."""
    by_order = sorted(_registered, key=lambda entry: (entry.order, entry.title))
    return [Card(entry.title, _lines(entry, now)) for entry in by_order]


def _lines(entry: _Registered, now: datetime) -> Sequence[Line]:
    try:
        return entry.lines(now)
    except Exception:
        logger.exception("The card %s cannot be read", entry.title)
        return [Line("state", "cannot be read now", State.BAD)]
