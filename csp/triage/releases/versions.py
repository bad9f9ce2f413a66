"""Finds the version of a site with which a group was new, and compares versions.

A group is new in a version if it was reported with this version, with no older one, and not before
the site's first version. Versions have the order of `csp.scrubbing.versions`. If two are equal in
this order, such as two builds, the one that was reported first is the older one.

Pages show versions only if a site has at least two.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Exists, OuterRef, Q, Subquery

from csp.models import GroupVersion, Version
from csp.scrubbing.versions import precedence
from csp.triage.selectors import groups_at
from kernel.memory import CachedValue, Memory

# The versions of each site, oldest first.
type Versions = Mapping[str, Sequence[Version]]

MAX_CHOICES = 20
NO_GROUP = Q(pk__in=[])
_VERSIONS: Memory[str, Versions] = Memory("versions of sites", capacity=1, max_age=10.0)


def versions_of_sites() -> Versions:
    """Returns the versions of each site, oldest first. They are at most 10 seconds old."""
    return _VERSIONS.load("", lambda: CachedValue(read_versions()))


def read_versions() -> Versions:
    sites: dict[str, list[Version]] = {}
    for version in Version.objects.all():
        sites.setdefault(version.site, []).append(version)
    return sites


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
    """Sets `new_in` of each group: the version in which it is new, or ""."""
    for group in groups:
        versions = versions_of_sites().get(group.site, ())
        found = (each.name for each in versions[1:] if each.rank == group.oldest_version_rank)
        name = next(found, "")
        group.new_in = name if name and group.first_seen >= since(versions) else ""
    return groups


def since(versions: Sequence[Version]) -> datetime:
    """Returns when the first of these versions was reported.

    An older group was first reported without a version, so it is not new in any version.
    """
    return min(version.first_seen for version in versions)


def is_new_in(name: str) -> Q:
    """Returns the condition of the groups for which `mark_new` finds this version."""
    found = NO_GROUP
    for site, versions in versions_of_sites().items():
        for version in versions[1:]:
            if version.name == name:
                of_site = Q(site=site, first_seen__gte=since(versions))
                found |= of_site & Q(oldest_version_rank=version.rank)
    return found


def client_days_by_version(group: Any) -> list[dict[str, Any]]:
    """Returns the newest versions of the group, newest first, and the client days of each.

    Returns none if no site has several versions. Shape: [coderapi.CSPGroupVersion].
    """
    if all(len(versions) < 2 for versions in versions_of_sites().values()):
        return []
    rows = group.versions.order_by("-version__rank").values_list("version__name", "client_days")
    return [{"version": name, "client_days": number} for name, number in rows[:MAX_CHOICES]]


# --- The step from one version to another -----------------------------------------------------


@dataclass(frozen=True, slots=True)
class Step:
    """The step from one version of a site to a newer one. All newer versions have a higher `rank`.

    `older` and `newer` are None if the site has not reported the version.
    """

    site: str
    since: datetime
    rank: str
    older: Version | None
    newer: Version | None

    def is_new(self) -> Q:
        """Returns the condition of the groups that are new in one of the newer versions."""
        return Q(site=self.site, first_seen__gte=self.since, oldest_version_rank__gt=self.rank)

    def is_back(self) -> Q:
        """Returns the condition of the groups that were decided before the first report of `newer`.

        They count as new if they were reported with it.
        """
        if self.newer is None:
            return NO_GROUP
        return Q(site=self.site, state_set_at__lt=self.newer.first_seen)


def are_reported(*versions: Version | None, min_client_days: int = 1) -> Q:
    """Returns the condition of the groups with these client days with one of the versions."""
    keys = [version.pk for version in versions if version]
    reported = GroupVersion.objects.filter(version__in=keys, client_days__gte=min_client_days)
    return Q(Exists(reported.filter(group=OuterRef("pk"))))


def step(versions: Sequence[Version], old: str, new: str, *, site: str) -> Step:
    """Returns the step from one version of a site to a newer one."""
    by_name = {version.name: version for version in versions}
    found = by_name.get(old)
    # A version that was not reported is newer than all with the same precedence.
    rank = found.rank if found else f"{precedence(old)}!"
    newer = by_name.get(new)
    newer = newer if newer and newer.rank > rank else None
    return Step(site, since(versions), rank, found, newer)


# --- The page that compares two versions ------------------------------------------------------

MAX_GROUPS = 100
# The page offers the newest versions of a site.
MAX_VERSIONS = 50


# A title, the unit of the number `compared` of each group, and the groups.
type Listed = tuple[str, str, Sequence[Any]]


@dataclass(frozen=True, slots=True)
class Choice:
    """The versions that a page compares, and those that it offers, newest first.

    `sites` has the sites with several versions.
    """

    site: str
    old_version: str
    new_version: str
    names: Sequence[str]
    sites: Sequence[str]


def choice(parameters: Mapping[str, str]) -> Choice | None:
    """Returns the versions in the query. The default is the newest version and the one before it.

    Returns None if no site has several versions.
    """
    known: Versions = {
        site: versions for site, versions in versions_of_sites().items() if len(versions) > 1
    }
    if not known:
        return None
    site = parameters.get("site", "")
    site = site if site in known else max(known, key=lambda each: known[each][-1].last_seen)
    names = [version.name for version in reversed(known[site][-MAX_VERSIONS:])]
    new = parameters.get("new_version", "")
    new = new if new in names[:-1] else names[0]
    older = names[names.index(new) + 1 :]
    old = parameters.get("old_version", "")
    return Choice(site, old if old in older else older[0], new, names, sorted(known))


def by_version(chosen: Choice, *, now: datetime) -> list[Listed]:
    """Returns the visible groups that the version has added, and those that it has removed."""
    versions = versions_of_sites()[chosen.site]
    found = step(versions, chosen.old_version, chosen.new_version, site=chosen.site)
    return [
        _with_clients(f"New with {chosen.new_version}", found.newer, found.is_new(), now),
        _with_clients(
            f"Not reported with {chosen.new_version}", found.older, ~are_reported(found.newer), now
        ),
    ]


def _with_clients(title: str, version: Version | None, condition: Q, now: datetime) -> Listed:
    """Returns the groups that were reported with the version and meet the condition."""
    counted = GroupVersion.objects.filter(group=OuterRef("pk"), version=version)
    groups = groups_at(now).visible().filter(condition & are_reported(version))
    groups = groups.annotate(compared=Subquery(counted.values("client_days")))
    found = list(groups.order_by("-compared", "pk")[:MAX_GROUPS])
    return title, f"Client days with {version}", mark_new(found)
