"""The whole policy of a site: as its pages send it now, and with the accepted entries.

An entry is accepted if an operator has acknowledged or resolved its group. Browsers do not report
a source that the policy allows. But a policy without the entry would block the source again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cache
from typing import Any
from uuid import UUID

from django.db.models import Q

from csp.access.page_headers import ENFORCED, REPORT_ONLY, Header, note_for, report_headers
from csp.advice.composition import Copy, Grade, copy_of, extended, grade, written
from csp.advice.policy import Policy, parse, permits
from csp.advice.suggestion import SETTING, Advice, advise
from csp.models import IngestKey
from csp.scrubbing.address import address_of
from csp.scrubbing.free_text import MAX_SOURCES
from csp.triage.newest import Seen, SentPolicy, blocked_by, newest_reports, sent_policies, texts_of
from csp.triage.reading import bounded_read
from csp.triage.selectors import WEEK, groups_at
from csp.triage.states import ACCEPTED
from csp.trusted_types import split_source
from csp.writing.terms import sites_of

# The maximum number of accepted groups, and of other groups, those with the most clients.
MAX_GROUPS = 200


@dataclass(frozen=True, slots=True)
class Entry:
    """An accepted entry. If `is_sent`, the policy of the site allows its sources already."""

    group: Any
    advice: Advice
    is_sent: bool


@dataclass(frozen=True, slots=True)
class Rest:
    """A group. The policy would still block `blocked` of its `reports` reports."""

    group: Any
    blocked: int
    reports: int


@dataclass(frozen=True, slots=True)
class SitePolicy:
    """`policy` is the policy that the site sends, and the accepted entries.

    `others` are other policies of the site's pages. `rest` are the groups that the policy would
    still block, in the `reports` tested reports of a week. `cut` are directives that may have more
    sources than are stored. `key` is the ingest key of the site, or None, and `note` a sentence
    about its reports. `left_out` is the number of accepted groups that were not read.
    """

    sent: SentPolicy
    others: Sequence[SentPolicy]
    grade: Grade
    copied: Copy
    cut: Sequence[str]
    entries: Sequence[Entry]
    left_out: int
    policy: str
    rest: Sequence[Rest]
    reports: int
    key: IngestKey | None
    note: str

    def headers(self, name: str = ENFORCED) -> list[Header]:
        if self.key is None:
            return [(name, self.policy)]
        return report_headers(self.key.value, https=not self.note, policy=self.policy, name=name)

    @property
    def blocked(self) -> int:
        return sum(each.blocked for each in self.rest)

    @property
    def copies(self) -> Iterator[tuple[str, str, str]]:
        """Yields what to copy: a name for the element, a label, and the lines."""
        for name, label, header in (
            ("report-only", "Report only: browsers report, and block nothing", REPORT_ONLY),
            ("header", "Enforced: browsers also block", ENFORCED),
        ):
            yield name, label, "\n".join(f"{n}: {value}" for n, value in self.headers(header))
        yield "nginx", "Enforced, for nginx", "\n".join(map(_for_nginx, self.headers()))
        setting = [each.advice.policy_entry for each in self.entries if each.advice.setting]
        if setting:
            yield "setting", "For Coder", f"{SETTING}={','.join(dict.fromkeys(setting))}"


def _for_nginx(header: Header) -> str:
    name, value = header
    quote = "'" if '"' in value else '"'
    return f"add_header {name} {quote}{value}{quote} always;"


@dataclass(slots=True)
class _Group:
    """A group with its newest reports."""

    row: Any
    reports: list[Seen] = field(default_factory=list)

    def source(self, reported: str) -> str:
        """Returns a reported source, with the name of the sink or of the Trusted Types policy."""
        return self.row.blocked_source if split_source(reported)[0] else reported


def site_policy(site: str, *, now: datetime, chosen: str = "") -> SitePolicy | None:
    """Returns the policy of a site, or None if no report has a policy.

    `chosen` is the key of the policy to use instead of the current one. Takes five queries.
    """
    groups, left_out = _groups(site, now)
    with bounded_read():
        reports = newest_reports({pk: each.row.last_seen - WEEK for pk, each in groups.items()})
        texts = texts_of(reports)
    for seen in reports:
        groups[seen.group].reports.append(seen)
    policies = sent_policies(reports, texts)
    if not policies:
        return None
    # Firefox omits parts of a policy, so use the longest text of each.
    texts = {digest: each.text for each in policies for digest in each.digests}
    sent = next((each for each in policies if each.digest == chosen), policies[0])
    sources = parse(sent.text)
    copied = copy_of(sent.text)
    accepted = [each for each in groups.values() if each.row.state in ACCEPTED]
    policy, entries = _with_entries(copied.policy, accepted, texts)
    week = [seen for seen in reports if seen.at > now - WEEK]
    key = _key(site, now)
    return SitePolicy(
        sent=sent,
        others=[each for each in policies if each is not sent],
        grade=grade(sources),
        copied=copied,
        cut=[name for name, some in sources.items() if len(some) >= MAX_SOURCES],
        entries=entries,
        left_out=left_out,
        policy=written(policy),
        rest=_rest(groups, week, texts, policy),
        reports=sum(seen.reports for seen in week),
        key=key,
        note=note_for(site) if key else "",
    )


def _groups(site: str, now: datetime) -> tuple[dict[UUID, _Group], int]:
    """Returns the accepted groups and those of a week, and the number of other accepted groups."""
    groups = groups_at(now).visible().filter(site=site)
    accepted = groups.filter(state__in=ACCEPTED)
    recent = groups.exclude(state__in=ACCEPTED).filter(last_seen__gt=now - WEEK)
    found = [*accepted[:MAX_GROUPS], *recent[:MAX_GROUPS]]
    left_out = accepted.count() - MAX_GROUPS if len(found) >= MAX_GROUPS else 0
    return {group.pk: _Group(group) for group in found}, max(left_out, 0)


def _key(site: str, now: datetime) -> IngestKey | None:
    """Returns the newest ingest key of the site that is not retired."""
    keys = IngestKey.objects.filter(Q(retired_at=None) | Q(retired_at__gt=now))
    newest = keys.order_by("-created_at", "-pk")
    return next((key for key in newest if site in sites_of(key.origins)), None)


def _with_entries(
    policy: Policy, accepted: Sequence[_Group], texts: Mapping[str, str]
) -> tuple[Policy, list[Entry]]:
    """Adds the accepted entries that the policy lacks."""
    entries = []
    for group in accepted:
        newest = texts.get(group.reports[0].policy, "") if group.reports else ""
        blocked = blocked_by(group.row, group.reports, policy=newest)
        told = advise(blocked)
        if not told.policy_entry:
            continue
        page = address_of(blocked.page)
        sources = [group.source(url) for url in blocked.urls]
        is_sent = all(permits(policy, group.row.directive, each, page) for each in sources)
        if not is_sent:
            policy = extended(policy, advise(replace(blocked, policy=written(policy))))
        entries.append(Entry(group.row, told, is_sent))
    return policy, entries


def _rest(
    groups: Mapping[UUID, _Group],
    reports: Sequence[Seen],
    texts: Mapping[str, str],
    policy: Policy,
) -> list[Rest]:
    """Returns the groups that the policy would still block, most reports first.

    A report whose own policy permits its source has another cause, such as a redirect.
    """

    @cache
    def is_permitted(own: str, directive: str, source: str, page: str) -> bool:
        wanted = directive, source, address_of(page)
        return permits(policy, *wanted) and not (own and permits(parse(own), *wanted))

    blocked, tested = Counter[UUID](), Counter[UUID]()
    for seen in reports:
        group = groups[seen.group]
        directive = seen.directive or group.row.directive
        own = texts.get(seen.policy, "")
        tested[seen.group] += seen.reports
        if not is_permitted(own, directive, group.source(seen.source), seen.page):
            blocked[seen.group] += seen.reports
    return [Rest(groups[pk].row, number, tested[pk]) for pk, number in blocked.most_common()]
