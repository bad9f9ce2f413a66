"""The whole policy of a site: as browsers reported it, and with the accepted entries.

An entry is accepted if an operator has acknowledged its group.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connection

from csp.advice.grading import Grade, grade
from csp.advice.policy import Policy, parse
from csp.advice.suggestion import SETTING, Advice, with_entry
from csp.models import Group, State
from csp.noise.stored import MAX_READ
from csp.triage.details import MAX_POLICIES, details
from csp.triage.policies import FOR_REPORTS, most_reported
from csp.triage.reading import bounded_read
from csp.triage.selectors import WEEK, groups_at

MAX_ENTRIES = 20
# The policy is read from the groups with the most clients.
_MAX_GROUPS = 200
# Counts the clients with each policy in the newest reports of the groups.
_POLICIES = """
SELECT min(original_policy), count(DISTINCT client)
FROM unnest(%s::uuid[]) AS wanted (id), LATERAL (
    SELECT original_policy, client FROM csp_report
    WHERE group_id = wanted.id AND received_at > %s AND original_policy <> ''
    ORDER BY received_at DESC LIMIT %s
) AS newest
GROUP BY md5(original_policy) ORDER BY 2 DESC, 1 LIMIT %s
"""
# A forged report can contain anything. These characters would end a quoted string of nginx, or
# begin a variable.
_SAFE = re.compile(r"[!-~]+")
_UNSAFE = frozenset('"\\$;,{}')


@dataclass(frozen=True, slots=True)
class Entry:
    """An accepted entry, with its group and the advice."""

    group: Any
    advice: Advice


@dataclass(frozen=True, slots=True)
class SitePolicy:
    """`reported` is the policy that most clients reported, and `clients` their number.

    Only the newest stored reports of a week count. `proposed` also contains the entries. Both
    policies are "" if no report has one.
    """

    site: str
    reported: str
    clients: int
    grade: Grade
    entries: tuple[Entry, ...]
    proposed: str

    @property
    def header(self) -> str:
        return f"Content-Security-Policy: {self.proposed}"

    @property
    def nginx(self) -> str:
        return f'add_header Content-Security-Policy "{self.proposed}" always;'

    @property
    def setting(self) -> str:
        """Returns the line for Coder, or "" if the site is not the Coder deployment."""
        entries = [each.advice.entry for each in self.entries if each.advice.setting]
        return f"{SETTING}={','.join(entries)}" if entries else ""


def site_policy(site: str, *, now: datetime) -> SitePolicy:
    """Returns the policy of a site. Takes two queries, and those for the entries."""
    reported, clients = _most_reported(site, now)
    accepted = groups_at(now).visible().filter(site=site, current=State.ACKNOWLEDGED)
    found = [Entry(group, details(group, now=now).advice) for group in accepted[:MAX_ENTRIES]]
    entries = tuple(each for each in found if each.advice.entry)
    policy: Policy = _cleaned(parse(reported))
    result = grade(policy)
    for each in entries:
        policy = with_entry(each.advice, _written(policy))
    proposed = _written(policy) if reported else ""
    return SitePolicy(site, reported, clients, result, entries, proposed)


def _most_reported(site: str, now: datetime) -> tuple[str, int]:
    """Returns the policy that most clients reported, and their number.

    Reads the same number of newest reports from each group. So one group cannot outvote the others.
    A site with few reports takes no longer than a site with many.
    """
    week_ago = now - WEEK
    recent = Group.objects.filter(site=site, last_seen__gt=week_ago)
    groups = list(recent.values_list("pk", flat=True)[:_MAX_GROUPS])
    if not groups:
        return "", 0
    with bounded_read(), connection.cursor() as cursor:
        each = MAX_READ // len(groups)
        cursor.execute(_POLICIES, [groups, week_ago, each, MAX_POLICIES])
        return most_reported(cursor.fetchall(), site)


def _cleaned(policy: Mapping[str, tuple[str, ...]]) -> Policy:
    """Removes what a copy must not contain.

    These are nonces, which differ in each response, sources with unsafe characters, and the
    directives for reports, because their URLs are stored without the ingest key.
    """
    return {
        name: tuple(source for source in sources if _is_plain(source))
        for name, sources in policy.items()
        if _is_plain(name) and name not in FOR_REPORTS
    }


def _is_plain(text: str) -> bool:
    is_nonce = text.lower().startswith("'nonce-")
    return not is_nonce and bool(_SAFE.fullmatch(text)) and _UNSAFE.isdisjoint(text)


def _written(policy: Mapping[str, tuple[str, ...]]) -> str:
    return "; ".join(" ".join([name, *sources]) for name, sources in policy.items())
