"""The whole policy of a site: as its pages send it now, and with the accepted entries.

An entry is accepted if an operator has acknowledged or resolved its group. Browsers do not report
a source that the policy allows. But a policy without the entry would block the source again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import cache
from typing import Any
from uuid import UUID

from django.db.models import Q

from csp.access.page_headers import ENFORCED, REPORT_ONLY, Header, note_for, report_headers
from csp.advice.composition import copy_of, weaknesses, written
from csp.advice.policy import Policy, parse, permits
from csp.advice.suggestion import SETTING, advise, extended
from csp.models import IngestKey
from csp.scrubbing.address import address_of
from csp.scrubbing.free_text import MAX_SOURCES
from csp.triage.newest import Seen, blocked_by, newest_reports, sent_policies, texts_of
from csp.triage.reading import bounded_read
from csp.triage.selectors import WEEK, groups_at
from csp.triage.states import ACCEPTED
from csp.trusted_types import split_source
from csp.writing.terms import sites_of

# The maximum number of accepted groups, and of other groups, those with the most clients.
MAX_GROUPS = 200


def site_policy(site: str, *, now: datetime, chosen: str = "") -> dict[str, Any] | None:
    """Returns what the page of a site's policy shows, or None if no report has a policy.

    `chosen` is the key of the policy to use instead of the current one. Takes five queries.

    Shape: `sent` is the policy that the site sends, `others` are other policies of its pages.
    `policy` also contains the accepted `entries`. `rest` are the groups that it would still block,
    and `cut` the directives that may have more sources than are stored.
    """
    groups, left_out = _groups(site, now)
    with bounded_read():
        reports = newest_reports({pk: each.last_seen - WEEK for pk, each in groups.items()})
        texts = texts_of(reports)
    for seen in reports:
        groups[seen.group].newest.append(seen)
    policies = sent_policies(reports, texts)
    if not policies:
        return None
    # Firefox omits parts of a policy, so use the longest text of each.
    texts = {digest: each.text for each in policies for digest in each.digests}
    sent = next((each for each in policies if each.digest == chosen), policies[0])
    sources = parse(sent.text)
    copied, with_nonces, unsafe = copy_of(sent.text)
    policy, entries = _with_entries(copied, groups.values(), texts)
    rest = _rest(groups, [seen for seen in reports if seen.at > now - WEEK], texts, policy)
    return {
        "sent": sent,
        "others": [each for each in policies if each is not sent],
        "weaknesses": weaknesses(sources),
        "with_nonces": with_nonces,
        "unsafe": unsafe,
        "cut": [name for name, some in sources.items() if len(some) >= MAX_SOURCES],
        "entries": entries,
        "left_out": left_out,
        "policy": written(policy),
        "rest": [group for group in rest if group.blocked],
        "blocked": sum(group.blocked for group in rest),
        "reports": sum(group.tested for group in rest),
        **_copies(site, written(policy), entries, now),
    }


def _copies(site: str, policy: str, entries: Sequence[Any], now: datetime) -> dict[str, Any]:
    """Returns `copies`, each with a name for the element, a label, and the lines to copy.

    `key` is the ingest key of the site, or None, and `note` a sentence about its reports.
    """
    key = _key(site, now)
    note = note_for(site) if key else ""

    def headers(name: str) -> list[Header]:
        if key is None:
            return [(name, policy)]
        return report_headers(key.value, https=not note, policy=policy, name=name)

    copies = [
        (name, label, "\n".join(f"{n}: {value}" for n, value in headers(header)))
        for name, label, header in (
            ("report-only", "Report only: browsers report, and block nothing", REPORT_ONLY),
            ("header", "Enforced: browsers also block", ENFORCED),
        )
    ]
    copies.append(("nginx", "Enforced, for nginx", "\n".join(map(_for_nginx, headers(ENFORCED)))))
    setting = [each.advice.policy_entry for each in entries if each.advice.setting]
    if setting:
        copies.append(("setting", "For Coder", f"{SETTING}={','.join(dict.fromkeys(setting))}"))
    return {"key": key, "note": note, "copies": copies}


def _for_nginx(header: Header) -> str:
    name, value = header
    quote = "'" if '"' in value else '"'
    return f"add_header {name} {quote}{value}{quote} always;"


def _groups(site: str, now: datetime) -> tuple[dict[UUID, Any], int]:
    """Returns the accepted groups and those of a week, and the number of other accepted groups.

    Each gets a list `newest` for its newest reports.
    """
    groups = groups_at(now).visible().filter(site=site)
    accepted = groups.filter(state__in=ACCEPTED)
    recent = groups.exclude(state__in=ACCEPTED).filter(last_seen__gt=now - WEEK)
    found = [*accepted[:MAX_GROUPS], *recent[:MAX_GROUPS]]
    left_out = accepted.count() - MAX_GROUPS if len(found) >= MAX_GROUPS else 0
    for group in found:
        group.newest = []
    return {group.pk: group for group in found}, max(left_out, 0)


def _key(site: str, now: datetime) -> IngestKey | None:
    """Returns the newest ingest key of the site that is not retired."""
    keys = IngestKey.objects.filter(Q(retired_at=None) | Q(retired_at__gt=now))
    newest = keys.order_by("-created_at", "-pk")
    return next((key for key in newest if site in sites_of(key.origins)), None)


def _source(group: Any, reported: str) -> str:
    """Returns a reported source, with the name of the sink or of the Trusted Types policy."""
    return str(group.blocked_source) if split_source(reported)[0] else reported


def _with_entries(
    policy: Policy, groups: Iterable[Any], texts: Mapping[str, str]
) -> tuple[Policy, list[Any]]:
    """Adds the accepted entries that the policy lacks. Also returns the groups with an entry.

    Each of these groups has its `advice`, and `is_sent` if the policy allows its sources already.
    """
    entries = []
    for group in groups:
        if group.state not in ACCEPTED:
            continue
        newest = texts.get(group.newest[0].policy, "") if group.newest else ""
        blocked = blocked_by(group, group.newest, policy=newest)
        group.advice = advise(blocked)
        if not group.advice.policy_entry:
            continue
        page = address_of(blocked.page)
        sources = [_source(group, url) for url in blocked.urls]
        group.is_sent = all(permits(policy, group.directive, each, page) for each in sources)
        if not group.is_sent:
            policy = extended(policy, advise(replace(blocked, policy=written(policy))))
        entries.append(group)
    return policy, entries


def _rest(
    groups: Mapping[UUID, Any],
    reports: Sequence[Seen],
    texts: Mapping[str, str],
    policy: Policy,
) -> list[Any]:
    """Returns the groups of the reports, most blocked reports first.

    Sets `tested` of each group to the number of its reports, and `blocked` to the number of those
    that the policy would still block. A report whose own policy permits its source has another
    cause, such as a redirect.
    """

    @cache
    def is_permitted(own: str, directive: str, source: str, page: str) -> bool:
        wanted = directive, source, address_of(page)
        return permits(policy, *wanted) and not (own and permits(parse(own), *wanted))

    blocked, tested = Counter[UUID](), Counter[UUID]()
    for seen in reports:
        group = groups[seen.group]
        directive = seen.directive or group.directive
        own = texts.get(seen.policy, "")
        tested[seen.group] += seen.reports
        if not is_permitted(own, directive, _source(group, seen.source), seen.page):
            blocked[seen.group] += seen.reports
    for pk, number in tested.items():
        groups[pk].tested, groups[pk].blocked = number, blocked[pk]
    return sorted((groups[pk] for pk in tested), key=lambda group: -group.blocked)
