"""Compares the groups with two versions of a site, or before and after a moment.

A change of the configuration has a moment, but no version.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import ceil
from typing import Any

from django.db.models import OuterRef, Q, Subquery, Sum

from csp.importing import EARLIEST
from csp.models import GroupHour, GroupVersion, Version, whole_hour
from csp.triage.releases.versions import Versions, are_reported, mark_new, step, versions_of_sites
from csp.triage.selectors import groups_at

# Before and after the moment, the same span is compared, up to this length.
MAX_SPAN = timedelta(days=7)
MAX_GROUPS = 100
# The page offers the newest versions of a site.
MAX_VERSIONS = 50


@dataclass(frozen=True, slots=True)
class Listed:
    """A list of groups with its title. Each group has a number `compared`, which `unit` names."""

    title: str
    unit: str
    groups: Sequence[Any]


# --- By version -------------------------------------------------------------------------------


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
    return Listed(title, f"Client days with {version}", mark_new(found))


# --- By time ----------------------------------------------------------------------------------


def moment_of(text: str, *, now: datetime) -> datetime:
    """Returns the time in the query. Raises: ValueError if it is not a time in the past."""
    at = datetime.fromisoformat(text[:32]).replace(tzinfo=UTC)
    if not EARLIEST < at < now:
        raise ValueError(text)
    return at


def by_time(moment: datetime, *, now: datetime, site: str = "") -> tuple[int, list[Listed]]:
    """Compares the same number of hours before and after the moment; all sites if `site` is "".

    Returns this number, and two lists of visible groups: those without a report before the moment,
    and those without a report after it.
    Reports are counted by hour, so the hour of the moment belongs to the time after it.
    """
    hour = whole_hour(moment)
    # The current hour counts, too, so that the newest groups are listed.
    hours = ceil(min(now - hour, MAX_SPAN) / timedelta(hours=1))
    of_site = {"group__site": site} if site else {}
    new = _counted(hour, hours, now, group__first_seen__gte=hour, **of_site)
    gone = _counted(hour - timedelta(hours=hours), hours, now, group__last_seen__lt=hour, **of_site)
    unit = "Reports per hour"
    return hours, [
        Listed("New since then", f"{unit} after", new),
        Listed("Gone since then", f"{unit} before", gone),
    ]


def _counted(start: datetime, hours: int, now: datetime, **conditions: Any) -> list[Any]:
    """Returns the visible groups with the most reports in these hours, most reports first."""
    counts = GroupHour.objects.filter(hour__gte=start, hour__lt=start + timedelta(hours=hours))
    rows = counts.visible().filter(**conditions).values_list("group")
    sums = dict(rows.annotate(sum=Sum("reports")).order_by("-sum", "group")[:MAX_GROUPS])
    groups = groups_at(now).in_bulk(list(sums))
    for key, group in groups.items():
        group.compared = sums[key] / hours
    return mark_new([groups[key] for key in sums if key in groups])
