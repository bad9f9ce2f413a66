"""The filters beside the admin's list of groups."""

from __future__ import annotations

from typing import Any

import semver
from django.contrib import admin
from django.db.models import F, QuerySet
from django.http import HttpRequest

from csp.models import Group

MOST_CHOICES = 20


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


class HostFilter(admin.SimpleListFilter):
    """The blocked hosts that most groups have."""

    title = "blocked"
    parameter_name = "blocked"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        names = (
            Group.objects.values_list("blocked", flat=True)
            .distinct()
            .order_by("-client_days")
            .values_list("blocked", flat=True)[: MOST_CHOICES * 5]
        )
        return [(name, name) for name in list(dict.fromkeys(names))[:MOST_CHOICES]]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Group]) -> QuerySet[Group]:
        return queryset.filter(blocked=self.value()) if self.value() else queryset


class VersionFilter(admin.SimpleListFilter):
    """First seen with, or after, a release of Coder: what an upgrade has brought."""

    title = "first seen since version"
    parameter_name = "since"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(version, version) for version in reversed(_versions()[-MOST_CHOICES:])]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Group]) -> QuerySet[Group]:
        least = self.value()
        if not least or not semver.Version.is_valid(least):
            return queryset
        wanted = [v for v in _versions() if semver.Version.parse(v) >= least]
        return queryset.filter(first_version__in=wanted)


def _versions() -> list[str]:
    """The releases with which any group was first seen, oldest first."""
    names = Group.objects.order_by().values_list("first_version", flat=True).distinct()
    return sorted(filter(semver.Version.is_valid, names), key=semver.Version.parse)
