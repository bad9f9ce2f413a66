"""Compares the policies that browsers sent in reports.

All pages of one site have the same policy. If some reports have another one, a proxy may rewrite
the header, a browser tab may be old, or a replica may have an old configuration.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import connection

from csp.advice.policy import Address, parse
from csp.models import OTHER_SITE

MAX_REPORTS = 5_000
# PostgreSQL counts equal policies, because a site has few. The paths of pages do not matter.
_NEWEST = f"""
SELECT page, original_policy, coalesce(site, '{OTHER_SITE}'), hour, max(newest.id),
    min(received_at), max(received_at), sum(weight)::bigint
FROM (
    SELECT *, split_part(document_uri, '/', 1) || '//' || split_part(document_uri, '/', 3) AS page,
        date_trunc('hour', received_at, 'UTC') AS hour
    FROM csp_report WHERE received_at > %s AND original_policy <> ''
    ORDER BY received_at DESC, id DESC LIMIT %s
) AS newest LEFT JOIN csp_group ON csp_group.id = group_id
GROUP BY 1, 2, 3, 4 ORDER BY max(received_at) DESC, 5 DESC
"""  # noqa: S608 - only constants
_FOR_REPORTS = frozenset({"report-to", "report-uri"})


@dataclass(frozen=True, slots=True)
class _Use:
    """The use of a policy on a site in one hour: its newest report, and the number of reports."""

    policy: frozenset[str]
    site: str
    hour: datetime
    newest: int
    first: datetime
    last: datetime
    reports: int


@dataclass(slots=True)
class Difference:
    """A policy that differs from the one that most reports of its site and hour had.

    `example` is the newest report with it. `missing` and `added` are directives, each with its
    sources, compared with the usual policy.
    """

    site: str
    example: int
    first: datetime
    last: datetime
    missing: list[str]
    added: list[str]
    reports: int = 0


def directives(policy: str) -> list[tuple[str, str]]:
    """Returns the directives of a policy, each with its sources as one string."""
    return [(name, " ".join(sources)) for name, sources in parse(policy).items()]


def normalized(policy: str, page: str) -> frozenset[str]:
    """Returns the directives in a form that is equal for equal policies.

    The order of sources does not matter. The policy of Coder contains the page's own host, so it is
    replaced. Firefox reports an absolute URL in report-uri, and Chromium a relative one, so the
    directives for reports are omitted.
    """
    address = Address.parse(page)
    host = address.origin.partition("://")[2] if address else ""
    lines = []
    for name, sources in parse(policy).items():
        if name in _FOR_REPORTS:
            continue
        shown = sorted({_without_host(source, host) for source in sources})
        lines.append(" ".join([name, *shown]))
    return frozenset(lines)


def _without_host(source: str, host: str) -> str:
    scheme, separator, rest = source.rpartition("://")
    return f"{scheme}{separator}<host>" if host and rest == host else source


def differences(now: datetime, *, span: timedelta) -> list[Difference]:
    """Returns the unusual policies in the newest reports of that span, most reports first."""
    with connection.cursor() as cursor:
        cursor.execute(_NEWEST, [now - span, MAX_REPORTS])
        uses = [_Use(normalized(policy, page), *use) for page, policy, *use in cursor.fetchall()]
    # The number of reports with each policy, by site and hour.
    counters: dict[tuple[str, datetime], Counter[frozenset[str]]] = defaultdict(Counter)
    for use in uses:
        counters[use.site, use.hour][use.policy] += use.reports
    usual = {place: counter.most_common(1)[0][0] for place, counter in counters.items()}
    unusual: dict[tuple[str, frozenset[str]], Difference] = {}
    for use in uses:
        expected = usual[use.site, use.hour]
        if use.policy != expected:
            missing, added = sorted(expected - use.policy), sorted(use.policy - expected)
            # The first use of this policy has the newest report.
            new = Difference(use.site, use.newest, use.first, use.last, missing, added)
            each = unusual.setdefault((use.site, use.policy), new)
            each.reports += use.reports
            each.first = min(each.first, use.first)
    return sorted(unusual.values(), key=lambda each: -each.reports)
