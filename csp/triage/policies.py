"""Compares the policies that browsers sent in reports.

All pages of one site have the same policy. If some reports have another one, a proxy may rewrite
the header, a browser tab may be old, or a replica may have an old configuration.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cache

from csp.advice.policy import Address, parse
from csp.models import OTHER_SITE, Report
from csp.triage.selectors import whole_hour

MAX_REPORTS = 5_000
_FOR_REPORTS = frozenset({"report-to", "report-uri"})
_NONCE = re.compile(r"'nonce-[^']*'", re.IGNORECASE)


@dataclass(slots=True)
class Difference:
    """A policy that differs from the one that most reports of its site and hour had.

    `example` is the newest report with it. `missing` and `added` are directives, each with its
    sources, compared with the usual policy.
    """

    site: str
    example: int
    last: datetime
    missing: list[str]
    added: list[str]
    first: datetime = field(init=False)
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
    rows = Report.objects.filter(received_at__gt=now - span).exclude(original_policy="")
    newest_first = rows.order_by("-received_at", "-id")
    known = cache(normalized)
    # The number of reports with each policy, by site and hour.
    counters: dict[tuple[str, datetime], Counter[frozenset[str]]] = defaultdict(Counter)
    uses = []
    for key, site, at, page, policy, weight in newest_first.values_list(
        "pk", "group__site", "received_at", "document_uri", "original_policy", "weight"
    )[:MAX_REPORTS]:
        # Nonces differ in each response. Without nonces and paths, few values differ.
        found = known(_NONCE.sub("'nonce-…'", policy), "/".join(page.split("/", 3)[:3]))
        place = (site or OTHER_SITE, whole_hour(at))
        counters[place][found] += weight
        uses.append((key, at, place, found, weight))
    usual = {place: counter.most_common(1)[0][0] for place, counter in counters.items()}
    unusual: dict[tuple[str, frozenset[str]], Difference] = {}
    for key, at, place, found, weight in uses:
        if found != usual[place]:
            site, expected = place[0], usual[place]
            # The first report with this policy is the newest one.
            new = Difference(site, key, at, sorted(expected - found), sorted(found - expected))
            each = unusual.setdefault((site, found), new)
            each.reports += weight
            each.first = at
    return sorted(unusual.values(), key=lambda each: -each.reports)
