"""Reads the newest stored reports of groups, and the policies in them.

Anyone may be able to send reports, so the values that most clients reported count. A client counts
once.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from typing import NamedTuple
from uuid import UUID

from csp.advice.suggestion import Blocked
from csp.models import Group, Report
from csp.noise.stored import MAX_READ
from csp.scrubbing.address import address_of
from csp.triage.policies.comparison import normalized
from csp.triage.reading import ORIGIN
from csp.triage.sites import is_coders
from csp.triage.states import ACCEPTED
from kernel.db.sql import fetch_rows

# The maximum number of policies with the most clients, and of the newest policies.
MAX_POLICIES = 20
MAX_URLS = 200
# Reads the same number of newest reports from each group, so that one group cannot outvote the
# others. A site with few reports takes no longer than a site with many.
_NEWEST = f"""
SELECT wanted.id, newest.id, received_at, represented_reports, client_address_hash,
    effective_directive, blocked_uri, {ORIGIN.format("document_uri")}, md5(original_policy),
    disposition, document_uri, browser, source_file
FROM unnest(%s::uuid[], %s::timestamptz[]) AS wanted (id, since),
    unnest(%s::bigint[]) AS shown (rule), LATERAL (
    SELECT * FROM csp_report
    WHERE group_id = wanted.id AND noise_rule_id = rule AND received_at > since
    ORDER BY received_at DESC, id DESC LIMIT %s
) AS newest ORDER BY received_at DESC, newest.id DESC
"""  # noqa: S608 - only constants


class Seen(NamedTuple):
    """A stored report. `policy` is a digest, and `page` the origin of the document.

    `reports` is the number of reports that it represents.
    """

    group: UUID
    id: int
    at: datetime
    reports: int
    client: bytes
    directive: str
    source: str
    page: str
    policy: str
    disposition: str
    document_uri: str
    browser: str
    source_file: str


def newest_reports(since: Mapping[UUID, datetime], *, rules: Sequence[int] = (0,)) -> list[Seen]:
    """Returns the newest reports of the groups since these times, the newest first.

    The reports are those that one of the noise rules matched, or none: 0.
    """
    if not since:
        return []
    # `fetch` would use one plan for all groups, which sorts all reports of a large group.
    each = max(1, MAX_READ // len(since))
    rows = fetch_rows(_NEWEST, [list(since), list(since.values()), list(rules), each])
    return [Seen(*row) for row in rows]


def clients_by[K](key: Callable[[Seen], K], reports: Iterable[Seen]) -> dict[K, int]:
    """Returns the number of clients with each value, the most frequent value first."""
    clients: dict[K, set[bytes]] = defaultdict(set)
    for seen in reports:
        clients[key(seen)].add(seen.client)
    counted = {value: len(members) for value, members in clients.items()}
    return dict(sorted(counted.items(), key=lambda item: -item[1]))


def blocked_by(group: Group, reports: Sequence[Seen], *, policy: str) -> Blocked:
    """Returns what the group's reports say, for the advice."""
    urls = dict.fromkeys(seen.source for seen in reports)
    origins = {url: address_of(url).source for url in urls}
    clients = clients_by(lambda seen: origins[seen.source], reports)
    most = max(clients.values(), default=0)
    return Blocked(
        group.directive,
        group.blocked_source,
        tuple(url for url, of in origins.items() if 2 * clients[of] >= most)[:MAX_URLS],
        next(iter(clients_by(lambda seen: seen.page, reports)), ""),
        policy,
        is_confirmed=group.state in ACCEPTED,
        is_coders=is_coders(group),
        is_noise=group.noise_rule_id is not None,
    )


# --- Policies ---------------------------------------------------------------------------------


def texts_of(reports: Sequence[Seen], *, limit: int = MAX_POLICIES) -> dict[str, str]:
    """Returns the text of each common and each new policy by its digest, common ones first."""
    oldest = {seen.policy: seen for seen in reports}
    newest = sorted(oldest, key=lambda digest: oldest[digest].at, reverse=True)[:limit]
    common = list(clients_by(lambda seen: seen.policy, reports))[:limit]
    wanted = dict.fromkeys([*common, *newest])
    keys = {digest: oldest[digest].id for digest in wanted}
    found = Report.objects.only("original_policy").in_bulk([*keys.values()])
    return {digest: found[key].original_policy for digest, key in keys.items() if key in found}


@dataclass(slots=True)
class SentPolicy:
    """A policy of a site. `text` is its longest form, because Firefox omits parts.

    `form` is equal in all browsers, and `digests` are those of its texts. `clients` has the time of
    the last report of each client.
    """

    form: frozenset[str]
    first: datetime
    text: str = ""
    digests: set[str] = field(default_factory=set)
    clients: dict[bytes, datetime] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        return hashlib.sha256("\n".join(sorted(self.form)).encode()).hexdigest()

    @property
    def last(self) -> datetime:
        return max(self.clients.values())


def policies_in(reports: Sequence[Seen], texts: Mapping[str, str]) -> list[SentPolicy]:
    """Returns the policies of the reports, the newest first.

    Browsers write the same policy in different forms, which count as one policy.
    """
    found: dict[frozenset[str], SentPolicy] = {}
    form_of = cache(normalized)
    for seen in reports:
        if text := texts.get(seen.policy):
            form = form_of(text, seen.page)
            policy = found.setdefault(form, SentPolicy(form, seen.at))
            policy.text = max(policy.text, text, key=len)
            policy.digests.add(seen.policy)
            # The newest report comes first.
            policy.clients.setdefault(seen.client, seen.at)
            policy.first = seen.at
    return sorted(found.values(), key=lambda each: each.first, reverse=True)


def sent_policies(reports: Sequence[Seen], texts: Mapping[str, str]) -> list[SentPolicy]:
    """Returns the policies of the reports, the current one first, and then the newest first.

    Browser tabs may be old. So the current policy is the newest one that, since its first report,
    at least as many clients have reported as any other policy.
    """
    newest = policies_in(reports, texts)
    times = [sorted(each.clients.values()) for each in newest]
    for policy in newest:
        if len(policy.clients) >= max(
            len(some) - bisect_left(some, policy.first) for some in times
        ):
            return [policy, *(each for each in newest if each is not policy)]
    return []
