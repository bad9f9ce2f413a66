"""Finds the groups that a new version of a site has added and that need a decision.

A pipeline that upgrades a staging deployment fails if there are any. A resolved group that the
version has brought back counts as well. An acknowledged or ignored group does not count, and
neither does a group that a noise rule hides.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import OuterRef, Subquery

from csp.access.origins import normalized_origin
from csp.advice.refusals import Risk
from csp.models import GroupVersion, window
from csp.scrubbing.address import OTHER_SITE
from csp.scrubbing.versions import checked_version, precedence
from csp.triage.details import details
from csp.triage.releases.versions import (
    NO_GROUP,
    Step,
    are_reported,
    mark_new,
    read_versions,
    step,
)
from csp.triage.selectors import groups_at
from csp.triage.states import OPEN, REGRESSED, in_state
from kernel.http.errors import Validation, invalid
from kernel.text.humanize import plural

# The advice, and so the risk, is read only for this number of groups.
MAX_GROUPS = 50
MAX_CLIENT_DAYS = 10**9
MAX_SHOWN = 10


@dataclass(frozen=True, slots=True)
class Answer:
    """The new groups, most client days first, each with `client_days_new_version` and `advice`.

    `further_groups` is the number of further groups, whose risk was not read. They count.
    """

    old_version: str
    new_version: str
    groups: Sequence[Any]
    further_groups: int
    window: dict[str, Any]

    @property
    def passed(self) -> bool:
        return not self.groups and not self.further_groups

    def __str__(self) -> str:
        compared = f"with {self.new_version}, compared with {self.old_version}"
        number = len(self.groups) + self.further_groups
        return f"{plural(number, 'new group') if number else 'No new group'} {compared}."


def ask(
    *,
    old_version: str,
    new_version: str,
    site: str,
    min_client_days: int,
    min_risk_if_allowed: str,
    allow_unseen: bool,
    now: datetime,
) -> Answer:
    """Returns the groups that are new with the newer version and need a decision.

    A group counts if it has at least `min_client_days` with the newer version, and at least the
    risk `min_risk_if_allowed`. `site` is "" for all sites that have reported both versions. With
    `allow_unseen`, a version without any report has no violations. Otherwise, it is an error.
    Takes three queries, and two for each of up to MAX_GROUPS groups whose advice is not cached.
    Raises: APIError 400 if a value is wrong, and the errors of `details`.
    """
    old, new = _checked("old_version", old_version), _checked("new_version", new_version)
    steps = _steps(old, new, site=_checked_site(site), allow_unseen=allow_unseen)
    is_added = NO_GROUP
    for each in steps:
        is_added |= each.is_new() | (each.is_back() & in_state(now, REGRESSED))
    newer = [each.newer for each in steps if each.newer]
    is_reported = are_reported(*newer, min_client_days=min_client_days)
    wanted = groups_at(now).visible().filter(is_added & is_reported & in_state(now, *OPEN))
    counted = GroupVersion.objects.filter(group=OuterRef("pk"), version__in=newer)
    wanted = wanted.annotate(client_days_new_version=Subquery(counted.values("client_days")[:1]))
    found = list(wanted.order_by("-client_days_new_version", "pk")[: MAX_GROUPS + 1])
    further = wanted.count() - MAX_GROUPS if len(found) > MAX_GROUPS else 0
    groups, order = [], list(Risk)
    for group in found[:MAX_GROUPS]:
        group.advice = details(group, now=now).advice
        if order.index(group.advice.risk) >= order.index(Risk(min_risk_if_allowed)):
            groups.append(group)
    return Answer(old, new, mark_new(groups), further, window(now))


def _checked(name: str, version: str) -> str:
    try:
        return checked_version(version)
    except ValueError as error:
        raise invalid(Validation(name, f"It {error}.")) from None


def _checked_site(site: str) -> str:
    if site in {"", OTHER_SITE}:
        return site
    try:
        return normalized_origin(site)
    except ValueError as error:
        raise invalid(Validation("site", str(error))) from None


def _steps(old: str, new: str, *, site: str, allow_unseen: bool) -> list[Step]:
    """Returns the two versions to compare at each site. Raises: APIError 400."""
    if old == new or precedence(new) < precedence(old):
        raise invalid(Validation("new_version", f"{new} must be newer than {old}."))
    sites = {name: each for name, each in read_versions().items() if site in {"", name}}
    steps = [step(versions, old, new, site=name) for name, versions in sites.items()]
    compared = [each for each in steps if each.newer and (each.older or allow_unseen)]
    if not compared and not allow_unseen:
        names = {version.name for versions in sites.values() for version in versions}
        raise invalid(*_unseen(old, new, site, names))
    return compared


def _unseen(old: str, new: str, site: str, names: Collection[str]) -> list[Validation]:
    """Returns an error for each version without a report. `names` has the reported versions."""
    where = f" of {site}" if site else ""
    newest = ", ".join(sorted(names, key=precedence, reverse=True)[:MAX_SHOWN])
    some = f" Newest versions: {newest}." if newest else ""
    return [
        Validation(name, f"No report{where} has the version {version}.{some}")
        for name, version in (("old_version", old), ("new_version", new))
        if version not in names
    ] or [Validation("new_version", f"No site has reported {old} first, and then {new}.")]
