"""Finds the groups that a new version of a site has added and that need a decision.

A pipeline that upgrades a staging deployment fails if there are any. A resolved group that the
version has brought back counts as well. An acknowledged or ignored group does not count, and
neither does a group that a noise rule hides.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
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
    Versions,
    are_reported,
    mark_new,
    read_versions,
    step,
)
from csp.triage.selectors import groups_at
from csp.triage.states import OPEN, REGRESSED, in_state
from kernel.text.humanize import plural

# The advice, and so the risk, is read only for this number of groups.
MAX_GROUPS = 50
MAX_CLIENT_DAYS = 10**9
MAX_SHOWN = 10


class GateError(ValueError):
    """The question is wrong. `problems` has a sentence for each wrong parameter, by its name."""

    def __init__(self, **problems: str) -> None:
        super().__init__(" ".join(f"{name}: {problem}" for name, problem in problems.items()))
        self.problems = problems


@dataclass(frozen=True, slots=True)
class Question:
    """The versions to compare, and which groups count.

    A group counts if it has at least `min_client_days` with the newer version, and at least the
    risk `min_risk_if_allowed`. `site` is "" for all sites that have reported both versions. With
    `allow_unseen`, a version without any report has no violations. Otherwise, it is an error.
    """

    old_version: str
    new_version: str
    site: str = ""
    min_client_days: int = 1
    min_risk_if_allowed: Risk = Risk.LOW
    allow_unseen: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """The new groups, most client days first, each with `client_days_new_version` and `advice`.

    `further_groups` is the number of further groups, whose risk was not read. They count.
    """

    question: Question
    groups: Sequence[Any]
    further_groups: int
    window: dict[str, Any]

    @property
    def passed(self) -> bool:
        return not self.groups and not self.further_groups

    def __str__(self) -> str:
        compared = f"with {self.question.new_version}, compared with {self.question.old_version}"
        number = len(self.groups) + self.further_groups
        return f"{plural(number, 'new group') if number else 'No new group'} {compared}."


def ask(question: Question, *, now: datetime) -> Answer:
    """Returns the new groups that need a decision.

    Takes three queries, and two for each of up to MAX_GROUPS groups whose advice is not cached.
    Raises: GateError if a value of the question is wrong, and the errors of `details`.
    """
    question = replace(
        question,
        old_version=_checked("old_version", question.old_version),
        new_version=_checked("new_version", question.new_version),
        site=_checked_site(question.site),
    )
    steps = _steps(question, read_versions())
    is_added = NO_GROUP
    for each in steps:
        is_added |= each.is_new() | (each.is_back() & in_state(now, REGRESSED))
    newer = [each.newer for each in steps if each.newer]
    is_reported = are_reported(*newer, min_client_days=question.min_client_days)
    wanted = groups_at(now).visible().filter(is_added & is_reported & in_state(now, *OPEN))
    counted = GroupVersion.objects.filter(group=OuterRef("pk"), version__in=newer)
    wanted = wanted.annotate(client_days_new_version=Subquery(counted.values("client_days")[:1]))
    found = list(wanted.order_by("-client_days_new_version", "pk")[: MAX_GROUPS + 1])
    further = wanted.count() - MAX_GROUPS if len(found) > MAX_GROUPS else 0
    groups, order = [], list(Risk)
    for group in found[:MAX_GROUPS]:
        group.advice = details(group, now=now).advice
        if order.index(group.advice.risk) >= order.index(question.min_risk_if_allowed):
            groups.append(group)
    return Answer(question, mark_new(groups), further, window(now))


def _checked(name: str, version: str) -> str:
    try:
        return checked_version(version)
    except ValueError as error:
        raise GateError(**{name: f"It {error}."}) from None


def _checked_site(site: str) -> str:
    if site in {"", OTHER_SITE}:
        return site
    try:
        return normalized_origin(site)
    except ValueError as error:
        raise GateError(site=str(error)) from None


def _steps(question: Question, known: Versions) -> list[Step]:
    """Returns the two versions to compare at each site. Raises: GateError."""
    old, new, site = question.old_version, question.new_version, question.site
    if old == new or precedence(new) < precedence(old):
        raise GateError(new_version=f"{new} must be newer than {old}.")
    sites = {name: versions for name, versions in known.items() if site in {"", name}}
    steps = [step(versions, old, new, site=name) for name, versions in sites.items()]
    compared = [each for each in steps if each.newer and (each.older or question.allow_unseen)]
    if not compared and not question.allow_unseen:
        raise _unseen(question, sites)
    return compared


def _unseen(question: Question, sites: Versions) -> GateError:
    names = {version.name for versions in sites.values() for version in versions}
    where = f" of {question.site}" if question.site else ""
    newest = ", ".join(sorted(names, key=precedence, reverse=True)[:MAX_SHOWN])
    some = f" Newest versions: {newest}." if newest else ""
    problems = {
        name: f"No report{where} has the version {version}.{some}"
        for name, version in (
            ("old_version", question.old_version),
            ("new_version", question.new_version),
        )
        if version not in names
    }
    if problems:
        return GateError(**problems)
    return GateError(
        new_version=f"No site has reported {question.old_version} first, and then "
        f"{question.new_version}."
    )
