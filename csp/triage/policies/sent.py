"""Reads the newest reports of groups, and finds the policy that their site sends now.

Anyone can send a report, and browser tabs may be old. So the current policy is the newest one that,
since its first report, at least as many clients have reported as any other policy.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from django.db import connection

from csp.triage.policies.comparison import normalized
from csp.triage.reading import ORIGIN, bounded_read
from csp.triage.selectors import WEEK

MAX_READ = 5_000
# The maximum number of policies with the most clients, and of the newest policies.
MAX_POLICIES = 20
# Reads the same number of newest reports from each group, so that one group cannot outvote the
# others. A site with few reports takes no longer than a site with many.
_NEWEST = f"""
SELECT wanted.id, md5(original_policy), client_address_hash, effective_directive, blocked_uri, page,
    max(newest.id), min(received_at), max(received_at), sum(represented_reports)::bigint
FROM unnest(%s::uuid[], %s::timestamptz[]) AS wanted (id, since), LATERAL (
    SELECT *, {ORIGIN.format("document_uri")} AS page
    FROM csp_report WHERE group_id = wanted.id AND noise_rule_id = 0 AND received_at > since
    ORDER BY received_at DESC LIMIT %s
) AS newest
GROUP BY 1, 2, 3, 4, 5, 6
"""  # noqa: S608 - only constants
_TEXTS = """
SELECT md5(original_policy), original_policy FROM csp_report
WHERE id = ANY(%s) AND original_policy <> ''
"""


class Seen(NamedTuple):
    """Equal reports of a client in one group. `policy` is the digest of the policy."""

    group: UUID
    policy: str
    client: bytes
    directive: str
    source: str
    page: str
    example: int
    first: datetime
    last: datetime
    reports: int


@dataclass(slots=True)
class SentPolicy:
    """A policy of a site. `text` is its longest form, because Firefox omits parts.

    `digests` are those of its forms. `clients` has the time of the last report of each client.
    """

    first: datetime
    text: str = ""
    digests: set[str] = field(default_factory=set)
    clients: dict[bytes, datetime] = field(default_factory=dict)

    def add(self, text: str, seen: Seen) -> None:
        self.text = max(self.text, text, key=len)
        self.digests.add(seen.policy)
        self.clients[seen.client] = max(self.clients.get(seen.client, seen.last), seen.last)
        self.first = min(self.first, seen.first)

    @property
    def key(self) -> str:
        """Returns a name of the policy for URLs."""
        return min(self.digests)


def newest_reports(groups: Iterable[Any]) -> list[Seen]:
    """Returns the newest reports of each group, of the week before its last report."""
    since = {group.pk: group.last_seen - WEEK for group in groups}
    if not since:
        return []
    with bounded_read(), connection.cursor() as cursor:
        each = max(1, MAX_READ // len(since))
        cursor.execute(_NEWEST, [list(since), list(since.values()), each])
        return [Seen(*row) for row in cursor.fetchall()]


def sent_policies(reports: Sequence[Seen]) -> list[SentPolicy]:
    """Returns the policies of the reports, the current one first, and then the newest first."""
    texts, found = _texts(reports), dict[frozenset[str], SentPolicy]()
    for seen in reports:
        if text := texts.get(seen.policy):
            found.setdefault(normalized(text, seen.page), SentPolicy(seen.first)).add(text, seen)
    newest = sorted(found.values(), key=lambda each: each.first, reverse=True)
    current = _current(newest)
    return [current, *(each for each in newest if each is not current)] if current else []


def _current(newest: Sequence[SentPolicy]) -> SentPolicy | None:
    times = [sorted(each.clients.values()) for each in newest]
    for policy in newest:
        since = [len(each) - bisect_left(each, policy.first) for each in times]
        if len(policy.clients) >= max(since):
            return policy
    return None


def _texts(reports: Sequence[Seen]) -> Mapping[str, str]:
    """Returns the text of each common and each new policy by its digest."""
    clients: dict[str, set[bytes]] = defaultdict(set)
    examples: dict[str, Seen] = {}
    for seen in sorted(reports, key=lambda each: each.first, reverse=True):
        clients[seen.policy].add(seen.client)
        examples[seen.policy] = seen
    common = sorted(clients, key=lambda digest: -len(clients[digest]))[:MAX_POLICIES]
    newest = sorted(examples, key=lambda digest: examples[digest].first, reverse=True)
    wanted = {examples[digest].example for digest in (*common, *newest[:MAX_POLICIES])}
    with connection.cursor() as cursor:
        cursor.execute(_TEXTS, [list(wanted)])
        return dict(cursor.fetchall())
