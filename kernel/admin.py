"""The base classes of admin pages, limits for searches, filters, badges, and home page cards.

An app registers its cards in its module `admin_cards`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import cached_property
from typing import Any, ClassVar, cast
from uuid import UUID

from django.conf import settings
from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.views.main import SEARCH_VAR, ChangeList
from django.core.exceptions import PermissionDenied, SuspiciousOperation
from django.core.paginator import Paginator
from django.db import OperationalError, transaction
from django.db.models import Model, QuerySet
from django.db.models.constants import LOOKUP_SEP
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import Truncator, capfirst, smart_split

from kernel.db.connections import MIN_POOL_SIZE, deadline, sqlstate, try_transaction_lock
from kernel.limiter import Limiter, LimitReachedError
from kernel.text.humanize import since

logger = logging.getLogger(__name__)
MAX_COUNTED = 10_000
MAX_ERROR = 120
QUERY_CANCELED = "57014"

# --- Searches ---------------------------------------------------------------------------------

MAX_SEARCH_WORDS, MAX_SEARCH_CHARACTERS = 20, 200
# The time limit for all database statements of a page with a search. Other pages have more time.
SEARCH_SECONDS = 2.0
# The number of searches that wait. Each occupies a thread, but no connection.
MAX_WAITING_SEARCHES = 2
SEARCH_POLL_SECONDS = 0.1
# The lookups that a filter may use.
COMPARISONS = frozenset(
    {"exact", "gt", "gte", "isempty", "isnull", "lt", "lte", "year", "month", "day"}
)
_POOL: Mapping[str, Any] = settings.DATABASES["default"].get("OPTIONS", {}).get("pool") or {}
# A search reads a whole table, so it must not use all connections: the API needs some, too.
SEARCHES = Limiter(
    "searches",
    # Half of the connections of this process.
    limit=max(1, _POOL.get("max_size", MIN_POOL_SIZE) // 2),
    per_caller=1,
    timeout=1.0,
    queue=MAX_WAITING_SEARCHES,
    full="Too many searches are running. Try again in a minute.",
    own_full="Your previous search is still running. Try again when it has ended.",
)


@contextmanager
def bounded_search(request: HttpRequest) -> Iterator[None]:
    """Limits the number of concurrent searches, and the time of each search.

    A person has one search at a time, in all processes of all hosts together. An action on the
    rows of a search is limited only in this process, because it has transactions of its own.
    Raises: LimitReachedError, OperationalError.
    """
    person = cast("UUID", request.user.pk)
    turn = nullcontext() if request.method == "POST" else _turn_of(person)
    with SEARCHES.hold(person), turn, deadline(SEARCH_SECONDS):
        yield


@contextmanager
def _turn_of(person: UUID) -> Iterator[None]:
    """Holds the person's advisory lock in a transaction. A wait for it holds no connection."""
    until = time.monotonic() + SEARCHES.timeout
    while True:
        with transaction.atomic():
            if try_transaction_lock(f"search:{person}"):
                yield
                return
        if time.monotonic() >= until:
            raise LimitReachedError(SEARCHES.own_full, is_per_caller=True)
        time.sleep(SEARCH_POLL_SECONDS)


def _search_words(text: str) -> list[str]:
    """Returns the words of a search without duplicates."""
    return list(dict.fromkeys(smart_split(text)))


def _search_problem(text: str) -> str:
    """Returns an error message if a search is too long, or ""."""
    if len(text) > MAX_SEARCH_CHARACTERS:
        return f"A search can have at most {MAX_SEARCH_CHARACTERS} characters."
    if len(_search_words(text)) > MAX_SEARCH_WORDS:
        return f"A search can have at most {MAX_SEARCH_WORDS} words."
    return ""


# --- Pages ------------------------------------------------------------------------------------


class Rows(ChangeList):
    """Sorts only by the columns in `sortable_by`. Django also obeys other columns in the URL."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # Not "Select violation group to view".
        self.title = capfirst(str(self.opts.verbose_name_plural))

    def get_ordering_field(self, field_name: Any) -> Any:
        if self.sortable_by is not None and field_name not in self.sortable_by:
            return None
        return super().get_ordering_field(field_name)


class RowsOfLargeTable(Rows):
    """Finds the rows of the first page once, and counts the others only if there are more.

    If a filter or a search leaves few rows, PostgreSQL may read the whole table to find them.
    Django would do this to count them, and again to show them.
    """

    def get_results(self, request: HttpRequest) -> None:
        is_filtered = bool(self.query or self.has_active_filters)
        if not is_filtered or self.page_num > 1 or self.show_all:
            super().get_results(request)
            return
        found = list(self.queryset.values_list("pk", flat=True)[: self.list_per_page + 1])
        rows = self.queryset.filter(pk__in=found[: self.list_per_page])
        if len(found) <= self.list_per_page:
            self.queryset = rows
        super().get_results(request)
        self.result_list = rows


class ServiceAdmin[M: Model](admin.ModelAdmin[M]):
    """The base class of all admin pages. Limits searches, and rejects malformed input.

    `pages` maps the routes of further pages to the names of their views. Users need the permission
    to view the model. `secrets` are columns that no filter may use, because a user could guess
    their values character by character.
    """

    pages: ClassVar[Mapping[str, str]] = {}
    secrets: ClassVar[Sequence[str]] = ()

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self._own_page)
        model = self.opts.label_lower.replace(".", "_")
        own = [
            path(route, view, {"method": method}, name=f"{model}_{method}")
            for route, method in self.pages.items()
        ]
        return [*own, *super().get_urls()]

    def _own_page(self, request: HttpRequest, method: str, **parameters: Any) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        return cast("HttpResponse", getattr(self, method)(request, **parameters))

    def page(self, request: HttpRequest, template: str, title: str, **context: Any) -> HttpResponse:
        """Renders a template of the model, which extends `admin/own_page.html`."""
        frame = {**self.admin_site.each_context(request), "title": title, "opts": self.opts}
        folder = self.opts.label_lower.replace(".", "/")
        return TemplateResponse(request, f"admin/{folder}/{template}.html", frame | context)

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        search = request.GET.get(SEARCH_VAR, "")
        try:
            return self._list(request, search, extra_context)
        except (OverflowError, ValueError):
            # Django validates neither the ids of selected rows nor the year of date_hierarchy.
            if request.method == "POST" or any(name.endswith("__year") for name in request.GET):
                logger.info("A list of the admin rejected a request", exc_info=True)
                raise SuspiciousOperation("an id or a date is not valid") from None
            raise

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return Rows

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        """Rejects filters on secrets, and filters that search parts of a text, such as `regex`.

        Filters do not have the limits of a search.
        """
        column, *others = lookup.split(LOOKUP_SEP)
        is_search = bool(others) and others[-1] not in COMPARISONS
        if column in self.secrets or is_search:
            return False
        return super().lookup_allowed(lookup, value, request)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[M]) -> None:
        """Deletes selected rows like a single row, so that each deletion is recorded."""
        for row in queryset:
            self.delete_model(request, row)

    def action_checkbox(self, obj: M) -> SafeString:
        """Returns the same as Django's method, which renders a template for each row."""
        return format_html(
            '<input type="checkbox" name="{}" value="{}" class="action-select" '
            'aria-label="Select this object for an action - {}">',
            ACTION_CHECKBOX_NAME,
            obj.pk,
            obj,
        )

    def _list(
        self, request: HttpRequest, search: str, extra_context: dict[str, Any] | None
    ) -> HttpResponse:
        if not search:
            return super().changelist_view(request, extra_context)
        if problem := _search_problem(search):
            return self._without_search(request, problem)
        try:
            with bounded_search(request):
                response = super().changelist_view(request, extra_context)
                # Rendered here, because the page's template runs statements, too.
                return response.render() if isinstance(response, TemplateResponse) else response
        except LimitReachedError as error:
            return self._without_search(request, error.detail)
        except OperationalError as error:
            if sqlstate(error) != QUERY_CANCELED:
                raise
            problem = f"The search took longer than {SEARCH_SECONDS:.0f} seconds and was stopped."
            return self._without_search(request, f"{problem} Use a filter, or longer words.")

    def _without_search(self, request: HttpRequest, problem: str) -> HttpResponse:
        """Redirects to the list without the search. The page shows the problem."""
        self.message_user(request, problem, messages.ERROR)
        query = request.GET.copy()
        del query[SEARCH_VAR]
        return HttpResponseRedirect(f"{request.path}?{query.urlencode()}")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[M], search_term: str
    ) -> tuple[QuerySet[M], bool]:
        if _search_problem(search_term):
            return queryset.none(), False
        return super().get_search_results(request, queryset, " ".join(_search_words(search_term)))


class _AtLeast(int):
    """A number of rows that is not exact. Django's templates show its text."""

    def __str__(self) -> str:
        return f"{int(self):,} or more"


class BoundedPaginator(Paginator[Any]):
    """Counts at most MAX_COUNTED rows. Users can find other rows with a filter."""

    @cached_property
    def count(self) -> int:
        rows: Any = self.object_list
        found = int(rows.order_by()[:MAX_COUNTED].count())
        return _AtLeast(found) if found == MAX_COUNTED else found


class ReadOnlyAdmin(ServiceAdmin[Any]):
    """An admin page for rows that no user can add, change or delete, not even an owner."""

    paginator = BoundedPaginator
    show_full_result_count = False

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        """Removes the link to the history, because these rows never change."""
        context["has_history"] = False
        return super().render_change_form(request, context, *args, **kwargs)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


def row_link(row: Model, text: object = None) -> SafeString:
    """Returns a link to the admin page of a row. Its text is the row's name, or `text`."""
    name = f"admin:{row._meta.app_label}_{row._meta.model_name}_change"
    return format_html('<a href="{}">{}</a>', reverse(name, args=[row.pk]), text or row)


def column(field: str, write: Callable[[Any], str], name: str) -> Callable[..., str]:
    """Makes a column or a form field that shows the value of `field`, formatted by `write`."""

    @admin.display(description=name, ordering=field)
    def shown(*arguments: Any) -> str:
        # A method also gets the admin, as its first argument. The row is always the last one.
        return write(getattr(arguments[-1], field))

    shown.__name__ = field  # In a list, the CSS class of a function's column contains its name.
    return shown


def time_column(field: str, name: str) -> Callable[..., str]:
    """Makes a column or a form field that shows a time relative to now."""
    return column(field, since, name)


error_column = column("error", lambda error: Truncator(error).chars(MAX_ERROR), "error")


class ValuesFilter(admin.AllValuesFieldListFilter):
    """Filters by the values of a column. The empty value is shown as `empty`."""

    empty = "unknown"

    def choices(self, changelist: ChangeList) -> Iterator[Any]:
        for choice in super().choices(changelist):
            yield {**choice, "display": str(choice["display"]).strip() or self.empty}


def choice_filter(
    name: str, choices: Mapping[str, str], narrow: Callable[[Any, str], QuerySet[Any]]
) -> type[admin.SimpleListFilter]:
    """Makes a filter with these values and labels. `narrow` returns the rows with a value."""

    class ChoiceFilter(admin.SimpleListFilter):
        title = parameter_name = name

        def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
            return list(choices.items())

        def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
            if not (value := self.value()):
                return queryset
            # The page would show all rows for an unknown value, as if they had it.
            return narrow(queryset, value) if value in choices else queryset.none()

    return ChoiceFilter


class TextFilter(admin.SimpleListFilter):
    """Filters by text that the user types, for columns with too many values for a list."""

    template = "admin/text_filter.html"
    hint = ""

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        # Django hides a filter without choices.
        return [("", "")]

    def choices(self, changelist: ChangeList) -> Iterator[Any]:
        others = changelist.params.items()
        yield {
            "name": self.parameter_name,
            "hint": self.hint,
            "value": self.value() or "",
            "others": [(name, value) for name, value in others if name != self.parameter_name],
            "query_string": changelist.get_query_string(remove=[str(self.parameter_name)]),
        }


class State(StrEnum):
    """A state. Its name is shown beside the value, because not all readers can see colors."""

    PLAIN = ""
    GOOD = "ok"
    NOTICE = "warning"
    BAD = "failed"


def badge(word: str, state: State) -> SafeString:
    """Renders a word as a badge in the color of a state."""
    return format_html('<span class="state state-{}">{}</span>', state or "plain", word)


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a card: a name, a value, a state, and a link to a page with details."""

    name: str
    value: str
    state: State = State.PLAIN
    link: str = ""


type Lines = Callable[[datetime], Sequence[Line]]

_cards: dict[tuple[int, str], Lines] = {}


def register(title: str, lines: Lines, *, order: int) -> None:
    """Registers a card. `lines(now)` returns its lines. It must be fast for tables of any size."""
    _cards[order, title] = lines


def cards(user: Any, now: datetime) -> list[tuple[str, Sequence[Line]]]:
    """Returns the title and the lines of each card with lines, in order.

    The user sees the cards of the apps whose pages the user may open.
    """
    read = [
        (title, _lines(title, lines, now))
        for (_, title), lines in sorted(_cards.items())
        if user.has_module_perms(lines.__module__.partition(".")[0])
    ]
    return [(title, lines) for title, lines in read if lines]


def _lines(title: str, lines: Lines, now: datetime) -> Sequence[Line]:
    try:
        return lines(now)
    except Exception:
        logger.exception("The card %s cannot be read", title)
        return [Line("State", "cannot be read now", State.BAD)]
