"""Pages and documents that summarize CSP reports, with many stored reports and groups."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from functools import partial

from bench import requests, rows
from bench.harness import Measure, Scenario
from bench.load import BenchError, Figures
from bench.scenarios.base import Batches, Bench, page, signed_in
from bench.scenarios.csp import PATH
from bench.service import Service, running

GROUPS, GROUPS_FULL = 1_000, 10_000
REPORTS_PER_GROUP = 100
SITES = 20
# The reports in thousandths that belong to the largest group.
LARGEST = 30
HOURS = 7 * 24
MIN_REQUESTS = 20
MAX_PAGE_MS, MAX_SUMMARY_MS = 100, 50
GROUP = "00000000-0000-4000-8000-000000000001"
_KEY = "('00000000-0000-4000-8000-' || lpad(to_hex({}), 12, '0'))::uuid"
PAGES = {
    "front page of CSP": "/admin/csp/",
    "list of CSP groups": "/admin/csp/group/",
    "page of the largest CSP group": f"/admin/csp/group/{GROUP}/change/",
}


def triage(bench: Bench) -> Batches:
    """Measures pages of the admin and the summary, each in one connection after another."""
    groups = GROUPS_FULL if bench.is_full else GROUPS
    with running() as service:
        service.post(PATH, requests.one_report())
        _store(service, groups)
        browser = signed_in(service)
        stored = f"{groups * REPORTS_PER_GROUP:,} reports in {groups:,} groups"
        calls: list[tuple[str, Callable[[], Figures], float]] = [
            *(
                (name, partial(page, browser, service.url + path), MAX_PAGE_MS)
                for name, path in PAGES.items()
            ),
            ("CSP summary", partial(_summary, service), MAX_SUMMARY_MS),
        ]
        yield [
            Scenario(f"{name}, p95, {stored}", _repeated(name, call), at_most=most, figure="p95_ms")
            for name, call, most in calls
        ]


def _store(service: Service, groups: int) -> None:
    """Adds groups with reports, and with counts in every fifth hour of the last week."""
    reports = groups * REPORTS_PER_GROUP
    with service.connect() as connection:
        rows.multiply(
            connection,
            "csp_group",
            groups,
            id=_KEY.format("n"),
            site=f"'https://s' || n % {SITES} || '.example.net'",
            blocked="'h' || n || '.example.net'",
            first_seen="now() - interval '6 days'",
            last_seen="now() - (n % 1000) * interval '1 minute'",
            client_days="n % 200 + 1",
        )
        rows.multiply(
            connection,
            "csp_hourcount",
            groups * HOURS // 5,
            group_id=_KEY.format(f"n % {groups} + 1"),
            hour=f"date_trunc('hour', now()) - n / {groups} * interval '5 hours'",
        )
        chosen = f"CASE WHEN n % 1000 < {LARGEST} THEN 1 ELSE n % {groups} + 1 END"
        rows.multiply(
            connection,
            "csp_report",
            reports,
            received_at="now() - (n % 1000) * interval '1 ms'",
            group_id=_KEY.format(chosen),
            document_uri="'https://coder.example.com/p' || n % 300",
            browser="'Firefox ' || 140 + n % 9",
        )
        connection.execute("VACUUM ANALYZE")


def _repeated(name: str, call: Callable[[], Figures]) -> Measure:
    """Returns a measure of the slowest requests, sent one after another."""

    def run(seconds: int) -> Figures:
        until = time.monotonic() + seconds
        found = [call()]
        while len(found) < MIN_REQUESTS or time.monotonic() < until:
            found.append(call())
        taken = [figures["ms"] for figures in found]
        return {
            "p95_ms": statistics.quantiles(taken, n=20)[-1],
            "errors": sum(figures["errors"] for figures in found),
        }

    return Measure(name, run)


def _summary(service: Service) -> Figures:
    begun = time.perf_counter()
    status, _, body = service.request("GET", "/api/v2/csp/summary")
    if status != 200:
        raise BenchError(f"The summary has status {status}: {body[:200]!r}")
    return {"ms": 1000 * (time.perf_counter() - begun), "errors": 0}
