"""Finds the version of a site with which a group was new.

A group is new in a version if it was reported with this version, with no older one, and not before
the site's first version. Versions have the order of `csp.scrubbing.versions`. If two are equal in
this order, such as two builds, the one that was reported first is the older one.

Pages show versions only if a site has at least two.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Exists, OuterRef, Q

from csp.models import GroupVersion, Version
from csp.scrubbing.versions import precedence
from kernel.memory import CachedValue, Memory

# The versions of each site, oldest first.
type Versions = Mapping[str, Sequence[Version]]

MAX_CHOICES = 20
NO_GROUP = Q(pk__in=[])
_VERSIONS: Memory[str, Versions] = Memory("versions of sites", capacity=1, max_age=10.0)


def versions_of_sites() -> Versions:
    """Returns the versions of each site, oldest first. They are at most 10 seconds old."""
    found = _VERSIONS.get("")
    return _VERSIONS.load("", lambda: CachedValue(read_versions())) if found is None else found


def read_versions() -> Versions:
    sites: dict[str, list[Version]] = {}
    for version in Version.objects.order_by("first_seen", "pk"):
        sites.setdefault(version.site, []).append(version)
    return {
        site: sorted(versions, key=lambda version: precedence(version.name))
        for site, versions in sites.items()
    }


def are_several() -> bool:
    """Returns whether a site has several versions."""
    return any(len(versions) > 1 for versions in versions_of_sites().values())


def newest_names(site: str = "") -> list[str]:
    """Returns the names of the newest versions of each site, newest first.

    Omits the oldest version of a site, because nothing is new in it. Considers all sites if `site`
    is "".
    """
    names: set[str] = set()
    for of, versions in versions_of_sites().items():
        if site in {"", of}:
            names |= {version.name for version in versions[1:][-MAX_CHOICES:]}
    return sorted(names, key=precedence, reverse=True)[:MAX_CHOICES]


# --- Groups that are new in a version ---------------------------------------------------------


def mark_new[G: Collection[Any]](groups: G) -> G:
    """Sets `new_in` of each group: the version in which it is new, or "". Takes one query.

    Takes none if no site has several versions.
    """
    several = are_several()
    reported: dict[Any, set[int]] = {group.pk: set() for group in groups} if several else {}
    if reported:
        rows = GroupVersion.objects.filter(group__in=list(reported))
        for group, version in rows.values_list("group_id", "version_id"):
            reported[group].add(version)
    for group in groups:
        group.new_in = _new_in(group, reported[group.pk]) if several else ""
    return groups


def clients_by_version(group: Any) -> list[tuple[str, int]]:
    """Returns the newest versions of the group, newest first, and the clients of each.

    Returns none if no site has several versions.
    """
    if not are_several():
        return []
    clients = dict(group.versions.values_list("version_id", "client_days"))
    versions = versions_of_sites().get(group.site, ())
    found = [(each.name, clients[each.pk]) for each in reversed(versions) if each.pk in clients]
    return found[:MAX_CHOICES]


def _new_in(group: Any, reported: set[int]) -> str:
    versions = versions_of_sites().get(group.site, ())
    oldest = next((place for place, each in enumerate(versions) if each.pk in reported), 0)
    if not oldest or group.first_seen < since(versions):
        return ""
    return versions[oldest].name


def since(versions: Sequence[Version]) -> datetime:
    """Returns when the first of these versions was reported.

    A group that is older was first reported without a version, so it is new in none.
    """
    return min(version.first_seen for version in versions)


def is_new_in(name: str) -> Q:
    """Returns the condition of the groups for which `mark_new` finds this version."""
    found = NO_GROUP
    for site, versions in versions_of_sites().items():
        for place, version in enumerate(versions):
            if version.name == name and place:
                found |= Step(site, versions, place, version).is_new()
    return found


# --- The step from one version to another -----------------------------------------------------


@dataclass(frozen=True, slots=True)
class Step:
    """The step to the version `after` of a site. The first `known` of its versions are older.

    `after` is None if the site has not reported the version, and `before` likewise.
    """

    site: str
    versions: Sequence[Version]
    known: int
    after: Version | None
    before: Version | None = None

    def is_new(self, min_clients: int = 1) -> Q:
        """Returns the condition of the groups that are new in one of the newer versions.

        They have at least this number of clients with the version `after`.
        """
        older = [version.pk for version in self.versions[: self.known]]
        is_later = Q(site=self.site, first_seen__gte=since(self.versions))
        return is_later & self._has_clients(min_clients) & ~_are_reported(version__in=older)

    def is_back(self, min_clients: int) -> Q:
        """Returns the condition of the groups that were decided before the first report of `after`.

        They have at least this number of clients with it.
        """
        if self.after is None:
            return NO_GROUP
        return Q(state_at__lt=self.after.first_seen) & self._has_clients(min_clients)

    def is_gone(self) -> Q:
        """Returns the condition of the groups with `before`, and without a newer version."""
        newer = [version.pk for version in self.versions[self.known :]]
        return _are_reported(version=self.before) & ~_are_reported(version__in=newer)

    def _has_clients(self, number: int) -> Q:
        return _are_reported(version=self.after, client_days__gte=number)


def _are_reported(**conditions: Any) -> Q:
    return Q(Exists(GroupVersion.objects.filter(group=OuterRef("pk"), **conditions)))


def step(versions: Sequence[Version], before: str, after: str, *, site: str) -> Step:
    """Returns the step from one version of a site to a newer one."""
    by_name = {version.name: (place, version) for place, version in enumerate(versions)}
    place, found = by_name.get(before, (-1, None))
    ranks = [precedence(version.name) for version in versions]
    known = place + 1 if found else bisect_right(ranks, precedence(before))
    newer = {version.name: version for version in versions[known:]}
    return Step(site, versions, known, newer.get(after), found)
