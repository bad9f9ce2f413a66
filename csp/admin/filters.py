"""Filters for the admin's lists. They avoid DISTINCT queries over millions of rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime, time
from functools import partial
from typing import Any

from django.contrib import admin
from django.db.models import Count, Q, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.dateparse import parse_date

from csp.models import REPORTS, Group, Report
from csp.parsing.formats import Format
from csp.triage.releases.versions import NO_GROUP, is_new_in, newest_names
from csp.triage.sites import several_sites
from csp.triage.states import CURRENT_STATES, OPEN, in_state
from kernel.memory import CachedValue, Memory

MAX_CHOICES = 20
MAX_DAYS = 31


class ConditionFilter(admin.SimpleListFilter):
    """A filter whose choices are conditions on the row itself.

    The counts of all choices take one pass over the rows. Django would compare each row with a
    subquery for each choice.
    """

    def condition(self, value: str | None) -> Q:
        """Returns the condition for the choice with this value. "All" has the value None."""
        raise NotImplementedError

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(self.condition(self.value()))

    def get_facet_counts(self, pk_attname: str, filtered_qs: QuerySet[Any]) -> dict[str, Count]:
        return {
            f"{place}__c": Count(pk_attname, filter=self.condition(value))
            for place, (value, _) in enumerate(self.lookup_choices)
        }


class StateFilter(ConditionFilter):
    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        states = [(state, state.capitalize()) for state in CURRENT_STATES]
        return [("open", "New or regressed"), *states]

    def condition(self, value: str | None) -> Q:
        if not value:
            return Q()
        return in_state(timezone.now(), *(OPEN if value == "open" else [value]))


class AssigneeFilter(ConditionFilter):
    title = "assigned user"
    parameter_name = "assigned_to"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("me", "Me"), ("somebody", "Any user"), ("none", "No user")]

    def condition(self, value: str | None) -> Q:
        unassigned = Q(assigned_to=None)
        me = Q(assigned_to=self.request.user.pk)
        return {"": Q(), "me": me, "somebody": ~unassigned, "none": unassigned}.get(
            value or "", NO_GROUP
        )


class NoiseFilter(ConditionFilter):
    """By default, omits the groups with only noise."""

    title = "noise"
    parameter_name = "noise"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("only", "Only noise"), ("all", "With noise")]

    def choices(self, changelist: Any) -> Any:
        choices = list(super().choices(changelist))
        choices[0]["display"] = "Without noise"
        return choices

    def condition(self, value: str | None) -> Q:
        without = Q(noise_rule=None)
        return {"": without, "only": ~without, "all": Q()}.get(value or "", NO_GROUP)


def _value_filter(
    name: str, values: Callable[[], Iterable[str]], title: str = "", *, field: str = ""
) -> type[admin.SimpleListFilter]:
    """Makes a filter by a field, by default by the field `name`. `values` returns the choices."""
    column = field or name

    class ValueFilter(ConditionFilter):
        parameter_name = name

        def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
            return [(value, value) for value in values() if value]

        def condition(self, value: str | None) -> Q:
            return Q(**{column: value}) if value else Q()

    ValueFilter.title = title or name
    return ValueFilter


# The number of groups with the most clients that are read.
MAX_GROUPS = 1_000
_VALUES: Memory[str, list[str]] = Memory("common values of groups", capacity=2, max_age=10.0)


def _common(name: str) -> list[str]:
    """Returns only the values that occur in the groups with the most clients."""

    def read() -> CachedValue[list[str]]:
        groups = Group.objects.order_by("-client_days", "-pages")[:MAX_GROUPS]
        values = dict.fromkeys(groups.values_list(name, flat=True))
        return CachedValue(list(values)[:MAX_CHOICES])

    return _VALUES.load(name, read)


# Without choices, a filter is not shown.
SiteFilter = _value_filter("site", several_sites)
SiteOfReportFilter = _value_filter("site", several_sites, field="group__site")
HostFilter = _value_filter("blocked_source", partial(_common, "blocked_source"), "blocked source")
DirectiveFilter = _value_filter("directive", partial(_common, "directive"))
DispositionFilter = _value_filter("disposition", lambda: ("enforce", "report"))
FormatFilter = _value_filter("format", lambda: Format)


class NewInFilter(ConditionFilter):
    """Offers the versions in which groups can be new. Hidden if there are no versions."""

    title = "version that added it"
    parameter_name = "new_in"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(name, name) for name in newest_names(request.GET.get("site", ""))]

    def condition(self, value: str | None) -> Q:
        return is_new_in(value) if value else Q()


class DayFilter(admin.SimpleListFilter):
    """Offers the newest days (UTC) that have a partition."""

    title = "day"
    parameter_name = "day"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        past = [day for day in REPORTS.starts() if day <= timezone.now()]
        return [(f"{day:%Y-%m-%d}", f"{day:%Y-%m-%d}") for day in reversed(past[-MAX_DAYS:])]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Report]) -> QuerySet[Report]:
        try:
            day = parse_date(self.value() or "")
            if day is None:
                return queryset
            start = datetime.combine(day, time(), UTC)
            end = start + REPORTS.span
        except (ValueError, OverflowError):
            # The day does not exist (30 February), or `end` is after the year 9999.
            return queryset.none()
        return queryset.filter(received_at__gte=start, received_at__lt=end)
