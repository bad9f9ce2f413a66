"""Filters the admin's list of groups."""

from __future__ import annotations

from itertools import islice
from typing import Any

import semver
from django.contrib import admin
from django.db.models import F, QuerySet
from django.http import HttpRequest

from csp.models import Group

MAX_CHOICES = 20


class NoiseFilter(admin.SimpleListFilter):
    """Noise is left out unless it is asked for."""

    title = "noise"
    parameter_name = "noise"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("only", "Only noise"), ("all", "With noise")]

    def choices(self, changelist: Any) -> Any:
        stock = list(super().choices(changelist))
        stock[0]["display"] = "Without noise"
        return stock

    def queryset(self, request: HttpRequest, queryset: QuerySet[Group]) -> QuerySet[Group]:
        if self.value() == "all":
            return queryset
        if self.value() == "only":
            return queryset.filter(noise_count__gt=0)
        return queryset.filter(count__gt=F("noise_count"))


class CommonValues(admin.SimpleListFilter):
    """Values of a field that the groups of the greatest reach have, and no endless list."""

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        field = str(self.parameter_name)
        values = Group.objects.values_list(field, flat=True)[: MAX_CHOICES * 50]
        return [(value, value) for value in islice(dict.fromkeys(values), MAX_CHOICES)]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Group]) -> QuerySet[Group]:
        return (
            queryset.filter(**{str(self.parameter_name): self.value()})
            if self.value()
            else queryset
        )


class HostFilter(CommonValues):
    title = parameter_name = "blocked"


class DirectiveFilter(CommonValues):
    title = parameter_name = "directive"


class VersionFilter(admin.SimpleListFilter):
    """Groups first seen with, or after, a release of Coder, as an upgrade brings them."""

    title = "first seen since version"
    parameter_name = "since"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(version, version) for version in reversed(_versions()[-MAX_CHOICES:])]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Group]) -> QuerySet[Group]:
        least = self.value()
        if not least or not semver.Version.is_valid(least):
            return queryset
        wanted = [v for v in _versions() if semver.Version.parse(v) >= least]
        return queryset.filter(first_version__in=wanted)


def _versions() -> list[str]:
    """Returns the releases with which any group was first seen, oldest first."""
    names = Group.objects.order_by().values_list("first_version", flat=True).distinct()
    return sorted(filter(semver.Version.is_valid, names), key=semver.Version.parse)
