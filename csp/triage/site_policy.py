"""The whole policy of a site: as browsers reported it, and with the accepted entries.

An entry is accepted if an operator has acknowledged its group.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Count

from csp.advice.grading import Grade, grade
from csp.advice.policy import Policy, parse
from csp.advice.suggestion import SETTING, Advice, with_entry
from csp.models import Report, State
from csp.triage.details import details
from csp.triage.reading import bounded_read
from csp.triage.selectors import WEEK, groups_at

MAX_ENTRIES = 20
_NEWEST_REPORTS = 5_000
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
    """`reported` is the policy that most clients reported in a week, and `clients` their number.

    `proposed` also contains the entries. Both are "" if no report has a policy.
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
    recent = Report.objects.filter(received_at__gt=now - WEEK, group__site=site)
    newest = recent.exclude(original_policy="").order_by("-received_at", "-id")
    keys = newest.values("pk")[:_NEWEST_REPORTS]
    with bounded_read():
        counted = (
            Report.objects.filter(received_at__gt=now - WEEK, pk__in=keys)
            .values_list("original_policy")
            .annotate(clients=Count("client", distinct=True))
            .order_by("-clients", "original_policy")
        )
        return counted.first() or ("", 0)


def _cleaned(policy: Mapping[str, tuple[str, ...]]) -> Policy:
    """Removes nonces, which differ in each response, and sources with unsafe characters."""
    return {
        name: tuple(source for source in sources if _is_plain(source))
        for name, sources in policy.items()
        if _is_plain(name)
    }


def _is_plain(text: str) -> bool:
    is_nonce = text.lower().startswith("'nonce-")
    return not is_nonce and bool(_SAFE.fullmatch(text)) and _UNSAFE.isdisjoint(text)


def _written(policy: Mapping[str, tuple[str, ...]]) -> str:
    return "; ".join(" ".join([name, *sources]) for name, sources in policy.items())
