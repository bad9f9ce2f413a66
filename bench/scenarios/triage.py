"""Pages and documents that summarize CSP reports, with many stored reports, groups and sites."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
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
CLIENTS = 50_000
REJECTIONS = 2_000
# The reports in thousandths that belong to the largest group.
LARGEST = 30
DAYS = 7
MIN_REQUESTS = 20
MAX_PAGE_MS, MAX_SUMMARY_MS = 100, 50
GROUP = "00000000-0000-4000-8000-000000000001"
SITE = "https://s1.example.net"
PAGES = {
    "front page of CSP": "/admin/csp/",
    "front page of CSP, one site": f"/admin/csp/?site={SITE}",
    "list of CSP groups": "/admin/csp/group/",
    "list of CSP groups, one site": f"/admin/csp/group/?site={SITE}",
    "list of CSP groups, open": "/admin/csp/group/?state=open",
    "list of CSP groups, last page": "/admin/csp/group/?p=15&noise=all",
    "list of CSP groups, by last report": "/admin/csp/group/?o=-9",
    "list of CSP groups, searched": "/admin/csp/group/?q=h77",
    "page of the largest CSP group": f"/admin/csp/group/{GROUP}/change/",
    "policy of a site": f"/admin/csp/group/site-policy/?site={SITE}",
    "list of CSP groups, new in a version": "/admin/csp/group/?new_in=2.30.1",
    "comparison of versions": f"/admin/csp/group/releases/?site={SITE}",
    "check of an ingest key": "/admin/csp/ingestkey/1/check/",
    "list of rejected requests": "/admin/csp/rejection/",
    "list of noise rules": "/admin/csp/noiserule/",
    "list of CSP reports": "/admin/csp/report/",
    "list of CSP reports, one site": f"/admin/csp/report/?site={SITE}",
}
DOCUMENTS = {
    "CSP summary": "/api/coderapi/v1/csp/summary",
    "CSP summary, one site": f"/api/coderapi/v1/csp/summary?site={SITE}",
    "CSP gate": "/api/coderapi/v1/csp/gate?old_version=2.29.0&new_version=2.30.1",
    "API list of CSP groups": "/api/coderapi/v1/csp/groups?limit=100",
    "API of the largest CSP group": f"/api/coderapi/v1/csp/groups/{GROUP}",
}

# --- Values of the columns. `n` counts the groups or the reports, and {g} is the number of a group.
_KEY = "('00000000-0000-4000-8000-' || lpad(to_hex({g}), 12, '0'))::uuid"
_SITE = f"'https://s' || ({{g}}) % {SITES} || '.example.net'"
# A number that is neither correlated with the site nor with other numbers of the group.
_DRAWN = "(abs(hashint8(({g})::bigint * 1000 + {salt})::bigint) % {most})"
_DIRECTIVES = ["script-src", "img-src", "connect-src", "style-src", "font-src", "frame-src"]
_DIRECTIVE = f"(ARRAY{_DIRECTIVES})[{_DRAWN.format(g='{g}', salt=1, most=len(_DIRECTIVES))} + 1]"
_VERSIONS = ["2.28.0", "2.29.0", "2.30.1"]
_STATES = ["new"] * 7 + ["acknowledged", "ignored", "resolved"]
_POLICY = (
    "'default-src ''self''; script-src ''self'' https://a.example.net https://b.example.net "
    "''nonce-{{nonce}}''; style-src ''self'' ''unsafe-inline''; img-src ''self'' data: "
    "https://images.example.net; connect-src ''self'' wss://s' || ({g}) % 20 || '.example.net "
    "https://api.example.net; font-src ''self'' https://fonts.example.net; frame-ancestors "
    "''none''; object-src ''none''; base-uri ''self''; report-uri /api/v2/csp/reports' "
    "|| CASE WHEN n % 50 = 0 THEN '; form-action ''self''' ELSE '' END"
)


def triage(bench: Bench) -> Batches:
    """Measures pages of the admin and documents, each in one connection after another."""
    groups = GROUPS_FULL if bench.is_full else GROUPS
    with running() as service:
        store(service, groups)
        browser = signed_in(service)
        stored = f"{groups * REPORTS_PER_GROUP:,} reports in {groups:,} groups"
        calls: list[tuple[str, Callable[[], Figures], float]] = [
            *(
                (name, partial(page, browser, service.url + path), MAX_PAGE_MS)
                for name, path in PAGES.items()
            ),
            *(
                (name, partial(_document, service, path), MAX_SUMMARY_MS)
                for name, path in DOCUMENTS.items()
            ),
        ]
        yield [
            Scenario(f"{name}, p95, {stored}", _repeated(name, call), at_most=most, figure="p95_ms")
            for name, call, most in calls
        ]


def store(service: Service, groups: int) -> None:
    """Adds groups of several sites and states, with reports and counts of the last week."""
    service.post(PATH, requests.one_report())
    _import_reports(service)
    with service.connect() as connection:
        _store_groups(connection, groups)
        _store_reports(connection, groups)
        _store_others(connection)
        connection.execute("VACUUM ANALYZE")


def _import_reports(service: Service) -> None:
    """Imports a report of each day, version and site.

    So the service creates the partitions of the days, and the versions of the sites.
    """
    origins = [f"https://s{number}.example.net" for number in range(SITES)]
    service.command(
        "create_ingest_key", "--name", "sites", *(f"--origin={each}" for each in origins)
    )
    report = json.loads(requests.one_report())["csp-report"]
    now = datetime.now(UTC)
    lines = [
        {
            "csp-report": report | {"document-uri": f"{origin}/"},
            "received_at": (now - timedelta(days=day)).isoformat(),
            "version": _VERSIONS[-1 - day // 3],
        }
        for day in range(DAYS + 1)
        for origin in origins
    ]
    file = service.directory / "reports.jsonl"
    file.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    service.command("import_csp_reports", str(file))


def _store_groups(connection: rows.Connection, groups: int) -> None:
    hours = DAYS * 24
    rows.multiply(
        connection,
        "csp_group",
        groups,
        id=_KEY.format(g="n"),
        site=_SITE.format(g="n"),
        directive=_DIRECTIVE.format(g="n"),
        blocked_source="'h' || n / 3 || '.example.net'",
        noise_rule_id=f"CASE WHEN {_noise('n')} THEN n % 20 + 1 END",
        first_seen=f"now() - ({_drawn(3, 30)} + 1) * interval '1 day'",
        last_seen=f"now() - {_drawn(4, hours * 30)} * interval '1 minute'",
        created_at="now() - interval '6 days'",
        reports="100 + n % 50",
        pages="n % 300",
        client_days=f"CASE n WHEN 1 THEN 20000 ELSE {_drawn(5, 500)} + 1 END",
        state=f"(ARRAY{_STATES})[{_drawn(6, len(_STATES))} + 1]",
        state_set_at="now() - interval '2 days'",
    )
    rows.multiply(
        connection,
        "csp_grouphour",
        groups * hours // 5,
        group_id=_KEY.format(g=f"n % {groups} + 1"),
        hour=f"date_trunc('hour', now()) - (n / {groups} * 5 + n % 5) * interval '1 hour'",
        noise_rule_id=f"CASE WHEN {_noise(f'n % {groups} + 1')} THEN n % 20 + 1 ELSE 0 END",
        reports="1 + n % 4",
    )


def _noise(group: str) -> str:
    """Returns the condition of a tenth of the groups, which have only noise."""
    return f"{_DRAWN.format(g=f'({group})', salt=2, most=10)} = 0"


def _drawn(salt: int, most: int) -> str:
    """Returns an expression for a number of the group n, from 0 on and less than `most`."""
    return _DRAWN.format(g="n", salt=salt, most=most)


def _store_reports(connection: rows.Connection, groups: int) -> None:
    # Each report is in one of the groups, and 3 % are in the largest one.
    group = f"CASE WHEN n % 1000 < {LARGEST} THEN 1 ELSE n % {groups} + 1 END"
    rows.multiply(
        connection,
        "csp_report",
        groups * REPORTS_PER_GROUP,
        received_at=f"now() - random() * {DAYS} * interval '1 day'",
        group_id=_KEY.format(g=group),
        document_uri=f"{_SITE.format(g=group)} || '/p' || n % 300",
        blocked_uri=f"'https://h' || ({group}) / 3 || '.example.net/lib-' || n % 40 || '.js'",
        effective_directive=_DIRECTIVE.format(g=group),
        original_policy=_POLICY.format(g=group),
        browser="'Firefox ' || 140 + n % 9",
        version_name=f"(ARRAY{_VERSIONS})[n % {len(_VERSIONS)} + 1]",
        client_address_hash=f"decode(md5((n % {CLIENTS})::text), 'hex')",
    )


def _store_others(connection: rows.Connection) -> None:
    # A group was reported with the newest version, and with one or two before it or none.
    connection.execute(
        "INSERT INTO csp_groupversion (group_id, version_id, client_days)"  # noqa: S608 - ours
        " SELECT g.id, v.id, 1 + abs(hashtext(g.id::text)) % 100"
        " FROM csp_group AS g JOIN csp_version AS v USING (site)"
        f" WHERE v.name = '{_VERSIONS[-1]}' OR abs(hashtext(g.id || v.name)) % 3 > 0"
        " ON CONFLICT DO NOTHING"
    )
    connection.execute(
        "UPDATE csp_group SET oldest_version_rank = (SELECT min(rank) FROM csp_version"
        " JOIN csp_groupversion ON version_id = csp_version.id WHERE group_id = csp_group.id)"
    )
    connection.execute(
        "INSERT INTO csp_rejection (day, ingest_key, reason, origin, requests, last_seen)"  # noqa: S608 - ours
        " SELECT current_date - n % 7, 'sites', 'origin', 'https://x' || n || '.example.org', n,"
        f" now() FROM generate_series(1, {REJECTIONS}) AS n"
    )


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


def _document(service: Service, path: str) -> Figures:
    begun = time.perf_counter()
    status, _, body = service.request("GET", path)
    if status != 200:
        raise BenchError(f"{path} has status {status}: {body[:200]!r}")
    return {"ms": 1000 * (time.perf_counter() - begun), "errors": 0}
