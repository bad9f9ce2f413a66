"""Reads the newest stored reports of a group: its facets, and the advice for it.

Anyone may be able to send reports, so the values that most clients reported count: the policy, the
origin of the page, and the origins of the blocked URLs. A client counts once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import lru_cache
from typing import Any, NamedTuple
from uuid import UUID

from django.conf import settings
from django.contrib import admin
from django.db import connection

from csp.advice.refusals import Risk
from csp.advice.suggestion import Advice, Blocked, advise, prevented
from csp.models import Group, State
from csp.noise.stored import MAX_READ
from csp.scrubbing.address import address_of
from csp.triage.policies.comparison import most_reported
from csp.triage.reading import ORIGIN, bounded_read
from csp.triage.selectors import WEEK
from csp.triage.sites import is_coders
from csp.triage.states import ACCEPTED
from kernel.memory import CachedValue, Memory

MAX_VALUES = 10
# The maximum number of different reports, and of policies, that the advice is tested with.
MAX_TESTED = 1_000
MAX_POLICIES = 20
MAX_URLS = 200
# The paths of this service's pages. Coder's pages have other paths.
OWN_PATHS = tuple(f"{settings.PAGES_PATH}{page}" for page in ("account", "admin", "swagger"))
FACETS = {
    "page_kind": "document_uri",
    "disposition": "disposition",
    "browser": "browser",
    "source_file": "source_file",
}
# For the advice, only the origin of the page matters. Policies are compared by their digests.
_TESTED = "effective_directive, blocked_uri, page, policy"
_NO_FACETS = ", ".join("NULL" for _ in FACETS)
# Counts the newest reports of a group in several ways at once: by the columns of `_TESTED` and by
# each facet, and then the different clients by policy, by page and by blocked origin. The first
# column shows how a row was counted. A client is counted in two steps, because PostgreSQL would
# sort the reports for each `count(DISTINCT …)`.
_NEWEST = f"""
WITH newest AS MATERIALIZED (
    SELECT id, received_at, represented_reports, client_address_hash, effective_directive,
        blocked_uri, {", ".join(FACETS.values())}, md5(original_policy) AS policy,
        {ORIGIN.format("document_uri")} AS page, {ORIGIN.format("blocked_uri")} AS blocked_origin
    FROM unnest(%s::bigint[]) AS wanted (rule), LATERAL (
        SELECT * FROM csp_report WHERE group_id = %s AND noise_rule_id = rule
        ORDER BY received_at DESC, id DESC LIMIT {MAX_READ}
    ) AS of_rule
), once AS (
    SELECT GROUPING(page, policy, blocked_origin) AS how, page, policy, blocked_origin,
        max(received_at) AS at, max(id) AS id
    FROM newest
    GROUP BY GROUPING SETS (
        (client_address_hash, page), (client_address_hash, policy),
        (client_address_hash, blocked_origin)
    )
)
SELECT 2 * GROUPING({_TESTED}) + 1, sum(represented_reports)::bigint, 0, max(id),
    {", ".join(FACETS.values())}, {_TESTED}, NULL,
    coalesce(sum(represented_reports) FILTER (WHERE received_at > %s), 0)::bigint,
    max(received_at) AS at
FROM newest
GROUP BY GROUPING SETS (({_TESTED}), {", ".join(f"({name})" for name in FACETS.values())})
UNION ALL
SELECT 24 + how, 0, count(*), max(id), {_NO_FACETS}, NULL, NULL, page, policy, blocked_origin, 0,
    max(at)
FROM once GROUP BY how, page, policy, blocked_origin
ORDER BY at DESC, 4 DESC
"""  # noqa: S608 - only constants
# The bit of each column is 1 if the row is not grouped by it. The last bit is the blocked origin.
_IS_REPORT, _IS_POLICY, _IS_PAGE, _IS_BLOCKED = 0b00001, 0b11101, 0b11011, 0b11110
_POLICIES = "SELECT id, original_policy FROM csp_report WHERE group_id = %s AND id = ANY(%s)"


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
    key = (group.pk, group.state in ACCEPTED, is_coders(group), _is_noise(group))
    found = _DETAILS.get(key)
    if found is not None:
        return found
    with bounded_read():
        return _DETAILS.load(key, lambda: CachedValue(_details(group, now=now)))


@dataclass(slots=True)
class _Newest:
    """The rows of `_NEWEST`. `tested` has the different reports, newest first, and their weights.

    The other counters have the number of clients. `examples` maps the digest of a policy to a
    report with this policy.
    """

    facets: dict[str, Counter[str]] = field(
        default_factory=lambda: {name: Counter() for name in FACETS}
    )
    tested: list[tuple[str, str, str, str, int]] = field(default_factory=list)
    policies: Counter[str] = field(default_factory=Counter)
    pages: Counter[str] = field(default_factory=Counter)
    blocked_origins: Counter[str] = field(default_factory=Counter)
    examples: dict[str, int] = field(default_factory=dict)

    def add(self, row: Sequence[Any]) -> None:
        grouping, weight, clients, example, *values = row
        facets, (*report, blocked_origin, week, _) = values[: len(FACETS)], values[len(FACETS) :]
        directive, url, page, policy = report
        if grouping == _IS_REPORT:
            self.tested.append((directive, url, page, policy, week))
        elif grouping == _IS_POLICY:
            self.policies[policy], self.examples[policy] = clients, example
        elif grouping == _IS_PAGE:
            self.pages[page] = clients
        elif grouping == _IS_BLOCKED:
            self.blocked_origins[address_of(blocked_origin).source] += clients
        else:
            for (name, counter), value in zip(self.facets.items(), facets, strict=True):
                if value is not None:
                    shown = address_of(value).page if name == "page_kind" else value
                    counter[shown] += weight

    def urls(self) -> tuple[str, ...]:
        """Returns the blocked URLs, of the origins that most clients reported."""
        return common_urls(dict.fromkeys(row[1] for row in self.tested), self.blocked_origins)


def common_urls(urls: Iterable[str], clients: Mapping[str, int]) -> tuple[str, ...]:
    """Returns the URLs of the origins that most clients reported."""
    most = max(clients.values(), default=0)
    return tuple(url for url in urls if 2 * clients[address_of(url).source] >= most)[:MAX_URLS]


def _details(group: Group, *, now: datetime) -> Details:
    newest = _Newest()
    with connection.cursor() as cursor:
        # `fetch` would use one plan for all groups, which sorts all reports of a large group.
        cursor.execute(_NEWEST, [rules_shown(group), group.pk, now - WEEK])
        for row in cursor.fetchall():
            newest.add(row)
        common = [digest for digest, _ in newest.policies.most_common(MAX_POLICIES)]
        ids = {newest.examples[digest]: digest for digest in common}
        cursor.execute(_POLICIES, [group.pk, list(ids)])
        policies = {ids[key]: policy for key, policy in cursor.fetchall()}
    reports = [
        (directive or group.directive, url, page, policies[policy], week)
        for directive, url, page, policy, week in newest.tested
        if policy in policies
    ][:MAX_TESTED]
    [(page, _)] = newest.pages.most_common(1) or [("", 0)]
    counted = [(policies[key], newest.policies[key]) for key in common if key in policies]
    policy, _ = most_reported(counted, page)
    advice = advise(
        Blocked(
            group.directive,
            group.blocked_source,
            newest.urls(),
            page,
            policy,
            is_confirmed=group.state in ACCEPTED,
            is_coders=is_coders(group),
            is_noise=_is_noise(group),
        )
    )
    week = sum(report[-1] for report in reports)
    advice = replace(advice, prevented_reports=prevented(advice, reports), tested_reports=week)
    facets = {name: _common(counter) for name, counter in newest.facets.items()}
    return Details(facets, advice, policy)


def _common(counter: Counter[str]) -> list[dict[str, Any]]:
    """Returns the most frequent values. Shape: [coderapi.CSPFacetValue]."""
    found = counter.most_common(MAX_VALUES)
    return [{"value": value, "reports": number} for value, number in found]


def _is_noise(group: Group) -> bool:
    """Returns whether the group has only noise."""
    return group.noise_rule is not None


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
    noise = group.noise_rule.category if _is_noise(group) else ""
    return step_in_words(group.directive, group.blocked_source, group.state, group.current, noise)


def step_in_words(directive: str, source: str, state: str, current: str, noise: str) -> str:
    """Returns the same for these columns. `noise` is the category of the rule that hides it."""
    if current in {State.IGNORED, State.RESOLVED}:
        return "None"
    if noise:
        return f"None (noise: {noise})"
    return _next_step(directive, source, state in ACCEPTED)


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
