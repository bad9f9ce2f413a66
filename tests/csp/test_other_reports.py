"""Reports of other types are counted by type, and not stored."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone
from prometheus_client import REGISTRY

from csp import services
from csp.models import Group, Report
from csp.parsing.formats import OTHER, OTHER_TYPES
from kernel.db.connections import fetch
from tests.support.api.client import APIClient
from tests.support.browsers.both import FLAGS
from tests.support.browsers.browser import browsing, needs_browser
from tests.support.browsers.reporting_site import forwarding
from tests.support.commands import run, write_lines
from tests.support.csp.reports import PATH, fresh_writer, modern, send, writer_without_database
from tests.support.processes import wait_for

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("collecting")]


def counted() -> dict[str, float]:
    """Returns the numbers of reports of other types, and of invalid items."""
    types = {type: ("other_reports", {"type": type}) for type in (*OTHER_TYPES, OTHER)}
    all = types | {"invalid": ("received_reports", {"outcome": "invalid"})}
    return {
        name: REGISTRY.get_sample_value(f"coderapi_csp_{metric}_total", labels) or 0
        for name, (metric, labels) in all.items()
    }


def added(before: dict[str, float]) -> dict[str, float]:
    return {name: n - before[name] for name, n in counted().items() if n != before[name]}


def test_each_type_is_counted_and_the_violation_of_the_body_is_stored(owner: APIClient) -> None:
    before = counted()
    # The body may be missing, or may not be an object. Unknown types share one counter.
    others: list[Any] = [
        {"type": type, "body": {"id": "x"}} for type in (*OTHER_TYPES, "<b>new</b>")
    ]
    others += [{"type": "coep"}, {"type": "crash", "body": 7}, {"type": 5, "body": {"id": "x"}}]
    assert send(owner, [*others, modern()]).status_code == 200
    expected: dict[str, float] = {**dict.fromkeys(OTHER_TYPES, 1), "coep": 2, "crash": 2, OTHER: 2}
    assert added(before) == expected
    assert Group.objects.get().reports == Report.objects.count() == 1
    assert send(owner, others).status_code == 200
    assert Report.objects.count() == 1


def test_reports_of_a_request_that_is_sent_again_are_counted_once(
    owner: APIClient, settings: Any, tmp_path: Path
) -> None:
    reports, before = [{"type": "deprecation", "body": {"id": "x"}}, modern(), 7], counted()
    with writer_without_database(settings, tmp_path):
        assert send(owner, reports).status_code == 503
    assert added(before) == {}
    assert send(owner, reports).status_code == 200
    assert added(before).items() >= {"deprecation": 1, "invalid": 1}.items()


def test_import_skips_other_reports(tmp_path: Path) -> None:
    item = {"type": "deprecation", "body": {"id": "x"}}
    file = write_lines(tmp_path / "a.jsonl", [item, item], [modern()], item)
    assert "1 report imported, 3 reports of other types skipped." in run("import_csp_reports", file)


def test_rows_of_the_previous_release_expire(settings: Any) -> None:
    """0.1.0 may still add rows to the table of other reports."""
    insert = "INSERT INTO csp_otherreport (id, type, subject, cause_url, ingest_key, site, "
    insert += "page_kind, first_seen, last_seen, reports, client_sketch, client_days) VALUES "
    insert += "(gen_random_uuid(), 'coep', '', '', '', '', '', %s, %s, 1, '{}', 1) RETURNING id"
    now = timezone.now()
    settings.CSP_RETENTION = timedelta(days=30)
    for days in (1, 40):
        fetch(insert, [now - timedelta(days=days)] * 2, commits=True)
    services.prune_reports(now)
    assert fetch("SELECT count(*)::int FROM csp_otherreport", []) == [(1,)]


# A page that uses a deprecated and a forbidden feature, and a script without `integrity`.
DOCUMENT = b"""<!doctype html><title>page</title><script src="/code.js"></script>
<script src="/missing.js" integrity="sha256-x"></script>"""
CODE = b"""
const request = new XMLHttpRequest();
request.open("GET", "/code.js", false);
request.send();
navigator.geolocation.getCurrentPosition(() => {});
"""
HEADERS = {
    "/hash": {
        "Content-Security-Policy": "script-src 'self' 'report-sha256'; report-to csp",
        "Permissions-Policy": "geolocation=()",
    },
    "/integrity": {"Integrity-Policy": "blocked-destinations=(script), endpoints=(csp)"},
}


@needs_browser
def test_other_reports_of_chromium_are_counted(
    live_server: Any, owner: APIClient, tmp_path: Path, settings: Any
) -> None:
    endpoints = {"Reporting-Endpoints": f'csp="{PATH}", default="{PATH}"'}
    pages = {path: headers | endpoints for path, headers in HEADERS.items()}
    members = {"pages": pages, "page": DOCUMENT, "code": CODE, "token": owner.token}
    before = counted()
    with (
        fresh_writer(),
        forwarding(tmp_path, live_server, **members) as address,
        browsing(tmp_path / "profile", flags=FLAGS) as window,
    ):
        settings.ACCESS_URL = address
        expected = {"csp-hash", "deprecation", "permissions-policy-violation"}
        for path, types in (("/hash", expected), ("/integrity", {"integrity-violation"})):
            window.open(f"{address}{path}")
            wait_for(lambda types=types: types <= added(before).keys())  # type: ignore[misc]
