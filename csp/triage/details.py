"""The facets of a group, and the advice for it, from its newest stored reports."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from functools import lru_cache
from operator import attrgetter
from typing import Any, NamedTuple
from uuid import UUID

from django.conf import settings
from django.contrib import admin

from csp.advice.refusals import Risk
from csp.advice.suggestion import Advice, Blocked, advise, prevented
from csp.importing import EARLIEST
from csp.models import Group, State
from csp.scrubbing.address import address_of
from csp.triage.newest import Seen, blocked_by, newest_reports, policies_in, texts_of
from csp.triage.reading import read_once
from csp.triage.selectors import WEEK
from csp.triage.sites import is_coders
from csp.triage.states import ACCEPTED
from kernel.memory import Memory

MAX_VALUES = 10
# The maximum number of different reports that the advice is tested with.
MAX_TESTED = 1_000
# The paths of this service's pages. Coder's pages have other paths.
OWN_PATHS = tuple(f"{settings.PAGES_PATH}{page}" for page in ("account", "admin", "swagger"))
# The columns of a report by facet.
FACETS = {
    "page_kind": "document_uri",
    "disposition": "disposition",
    "browser": "browser",
    "source_file": "source_file",
}


class Details(NamedTuple):
    """The facets of a group, the advice, and the policy that most clients reported."""

    facets: dict[str, list[dict[str, Any]]]
    advice: Advice
    policy: str


# Anyone who may read groups can ask for the same group again and again.
_DETAILS: Memory[tuple[UUID, bool, bool, bool], Details] = Memory(
    "csp details", capacity=64, max_age=60.0
)


def details(group: Group, *, now: datetime) -> Details:
    """Returns the facets of a group and the advice for it, at most a minute old.

    The numbers are those of the newest stored reports, with their weights. Takes two queries.
    Raises: LimitReachedError or OperationalError if the database is too slow.
    """
    key = (group.pk, group.state in ACCEPTED, is_coders(group), group.noise_rule_id is not None)
    return read_once(_DETAILS, key, lambda: _details(group, now=now))


def _details(group: Group, *, now: datetime) -> Details:
    reports = newest_reports({group.pk: EARLIEST}, rules=rules_shown(group))
    texts = texts_of(reports)
    tested: Counter[tuple[str, str, str, str]] = Counter()
    for seen in reports:
        if seen.policy in texts:
            report = (seen.directive or group.directive, seen.source, seen.page, texts[seen.policy])
            tested[report] += seen.reports if seen.at > now - WEEK else 0
    weighed = [(*report, week) for report, week in tested.items()][:MAX_TESTED]
    common = max(policies_in(reports, texts), key=lambda each: len(each.clients), default=None)
    policy = common.text if common else ""
    advice = advise(blocked_by(group, reports, policy=policy))
    advice = replace(
        advice,
        prevented_reports=prevented(advice, weighed),
        tested_reports=sum(report[-1] for report in weighed),
    )
    return Details({name: _facet(name, reports) for name in FACETS}, advice, policy)


def _facet(name: str, reports: Iterable[Seen]) -> list[dict[str, Any]]:
    """Returns the most frequent values. Shape: [coderapi.CSPFacetValue]."""
    column, counter = attrgetter(FACETS[name]), Counter[str]()
    for seen in reports:
        value = column(seen)
        counter[address_of(value).page if name == "page_kind" else value] += seen.reports
    found = counter.most_common(MAX_VALUES)
    return [{"value": value, "reports": number} for value, number in found]


def rules_shown(group: Group) -> list[int]:
    """Returns the `noise_rule_id` of the reports to show: of a hidden group, also its noise."""
    return [0, *([group.noise_rule_id] if group.noise_rule_id else [])]


def is_own(url: str) -> bool:
    """Returns whether the page is one of this service, and not one of Coder."""
    page, own = address_of(url), address_of(settings.ACCESS_URL)
    return page.path.startswith(OWN_PATHS) and own.host in {"", page.host}


_NEXT_STEPS = {
    "inline": "Find out where the code comes from",
    "eval": "Find the script that uses eval",
    "other": "Look at the reports",
    "trusted-types-policy": "Look at the reports",
    "trusted-types-sink": "Change the script",
    "unknown": "Look at the reports",
}


@admin.display(description="next step")
def next_step(group: Any) -> str:
    """Returns the advice in a few words. Reads only the group and its rule, not its reports.

    The group comes from `groups_at`, which annotates it with its current state.
    """
    if group.current in {State.IGNORED, State.RESOLVED}:
        return "None"
    if group.noise_rule:
        return f"None (noise: {group.noise_rule.category})"
    return _next_step(group.directive, group.blocked_source, group.state in ACCEPTED)


@lru_cache(maxsize=2_048)
def _next_step(directive: str, source: str, is_confirmed: bool) -> str:
    url = f"https://{source}" if "." in source or source == "localhost" else source
    advice = advise(Blocked(directive, source, (url,), "", "", is_confirmed))
    if advice.policy_entry:
        return f"Check it (risk: {advice.risk})"
    if source == "inline" and directive.startswith("style-src"):
        return "Move the style to a file"
    default = "Do not allow it" if advice.risk is Risk.HIGH else "Ignore it"
    return _NEXT_STEPS.get(source.partition(" ")[0], default)
