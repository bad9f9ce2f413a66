"""Compares the policies that browsers sent in reports.

All pages of one site have the same policy. If some reports have another one, a proxy may rewrite
the header, a browser tab may be old, or a replica may have an old configuration.

Chromium reports a policy as the page sent it. Firefox omits the directives and keywords that it
does not know, and changes the form of the rest. `normalized` returns the same result for both.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from datetime import datetime, timedelta

from csp.advice.composition import FOR_REPORTS
from csp.advice.policy import HOST_SOURCE, parse
from csp.directives import KNOWN, WITH_SOURCES
from csp.scrubbing.address import OTHER_SITE, Address, address_of
from csp.triage.reading import ORIGIN
from kernel.db.sql import fetch_rows

MAX_REPORTS = 5_000
# A site has few different policies, so PostgreSQL counts the reports of each one. The paths of
# pages do not matter.
_NEWEST = f"""
SELECT page, original_policy, coalesce(site, '{OTHER_SITE}'), hour, max(newest.id),
    min(received_at), max(received_at), sum(represented_reports)::bigint
FROM (
    SELECT *, {ORIGIN.format("document_uri")} AS page,
        date_trunc('hour', received_at, 'UTC') AS hour
    FROM csp_report WHERE received_at > %s AND original_policy <> ''
    ORDER BY received_at DESC, id DESC LIMIT %s
) AS newest LEFT JOIN csp_group ON csp_group.id = group_id
GROUP BY 1, 2, 3, 4 ORDER BY max(received_at) DESC, 5 DESC
"""  # noqa: S608 - only constants
# Firefox 153 omits these directives, and all keywords except `_KEYWORDS`, nonces and hashes.
_ONLY_CHROMIUM = frozenset(
    {"fenced-frame-src", "navigate-to", "plugin-types", "prefetch-src", "webrtc"}
)
_COMPARED = KNOWN - FOR_REPORTS - _ONLY_CHROMIUM
_KEYWORDS = frozenset(
    {
        *("'none'", "'report-sample'", "'self'", "'strict-dynamic'", "'trusted-types-eval'"),
        *("'unsafe-eval'", "'unsafe-hashes'", "'unsafe-inline'", "'wasm-unsafe-eval'"),
    }
)
_VALUES = ("'nonce-", "'sha256-", "'sha384-", "'sha512-")


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
    replaced. The directives for reports are omitted, because Firefox reports an absolute URL in
    report-uri, and Chromium a relative one.
    """
    address, lines = address_of(page), []
    for name, sources in parse(policy).items():
        if name not in _COMPARED:
            continue
        written = set(sources)
        if name in WITH_SOURCES:
            written = {_source(source, address) for source in sources} - {""} or {"'none'"}
        elif name == "trusted-types":
            written = written or {"'none'"}
        lines.append(" ".join([name, *sorted(written)]))
    return frozenset(lines)


def _source(source: str, page: Address) -> str:
    """Returns the source as Firefox writes it, or "" for a keyword that Firefox omits."""
    lower = source.lower()
    if source.startswith("'"):
        return lower if lower in _KEYWORDS else source if lower.startswith(_VALUES) else ""
    found = HOST_SOURCE.fullmatch(source)
    if found is None:
        return lower
    scheme = (found["scheme"] or page.scheme).lower()
    host, rest = found["host"].lower(), source[found.end("host") :]
    if source == "*" or not scheme:
        return f"{host}{rest}"
    if f"{host}{rest}" == page.authority:
        return f"{scheme}://<host>"
    return f"{scheme}://{host}{rest}"


def differences(now: datetime, *, span: timedelta) -> list[Difference]:
    """Returns the unusual policies in the newest reports of that span, most reports first."""
    rows = fetch_rows(_NEWEST, [now - span, MAX_REPORTS])
    uses = [(normalized(policy, page), *use) for page, policy, *use in rows]
    # The number of reports with each policy, by site and hour.
    counters: dict[tuple[str, datetime], Counter[frozenset[str]]] = defaultdict(Counter)
    for policy, site, hour, *_, reports in uses:
        counters[site, hour][policy] += reports
    usual = {place: counter.most_common(1)[0][0] for place, counter in counters.items()}
    unusual: dict[tuple[str, frozenset[str]], Difference] = {}
    for policy, site, hour, newest, first, last, reports in uses:
        expected = usual[site, hour]
        if policy != expected:
            missing, added = sorted(expected - policy), sorted(policy - expected)
            # The first use of this policy has the newest report.
            new = Difference(site, newest, first, last, missing, added)
            each = unusual.setdefault((site, policy), new)
            each.reports += reports
            each.first = min(each.first, first)
    return sorted(unusual.values(), key=lambda each: -each.reports)
