"""The bases of our admin pages, and the cards of the home page.

An app registers its cards in its module `admin_cards`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, cast

from django.contrib import admin
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.options import ActionLocation
from django.contrib.admin.widgets import AutocompleteSelect
from django.core.exceptions import ValidationError
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse

from kernel.http.errors import Validation, invalid

logger = logging.getLogger(__name__)


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

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


class State(StrEnum):
    """A state as a word beside the value: colour alone would not reach everybody."""

    PLAIN = ""
    GOOD = "ok"
    NOTICE = "look"
    BAD = "bad"


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
