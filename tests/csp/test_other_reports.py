"""Reports of other types are counted by cause, and not stored."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError
from django.test import Client
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import REGISTRY

from csp import services
from csp.counting import other_reports
from csp.counting.other_reports import SKETCH, Subject, Tally, prepare
from csp.management.commands.find_csp_secrets import findings
from csp.models import Group, OtherReport, Report
from csp.parsing.formats import OtherReport as Parsed
from csp.parsing.formats import parse
from csp.writing.entries import Sender, keyed_hash
from tests.support.api.client import APIClient
from tests.support.browsers.both import FLAGS
from tests.support.browsers.browser import browsing, needs_browser
from tests.support.browsers.markup import text_in
from tests.support.browsers.reporting_site import forwarding
from tests.support.commands import run, write_lines
from tests.support.csp.reports import (
    PATH,
    fresh_writer,
    in_admin,
    legacy,
    modern,
    send,
    writer_without_database,
)
from tests.support.processes import wait_for

LIST = "/api/coderapi/v1/csp/other-reports"
PAGE = "https://coder.example.com/@alice/dev?token=abc"
KIND_OF_PAGE = "https://coder.example.com/@{user}/{workspace}"
FILE = "https://cdn.example.net/lib.js"
HASH = "sha256-i1FXsRbFto5y0dIx5ZOoGP4YvUW3YNGVsUH+lUDnR8U="

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("collecting")]


INVALID = ("coderapi_csp_received_reports_total", {"outcome": "invalid"})


def report(type: str, /, **body: Any) -> dict[str, Any]:
    return {"type": type, "url": PAGE, "age": 5, "user_agent": "x", "body": body}


def stored() -> dict[tuple[str, str, str], int]:
    rows = OtherReport.objects.values_list("type", "subject", "cause_url", "reports")
    return {(type, subject, url): count for type, subject, url, count in rows}


def sent(type: str, subject: str, url: str = "", /, **body: Any) -> Any:
    """Returns a report, and the row that counts it."""
    return report(type, **body), (type, subject, url)


SYNCHRONOUS = "XMLHttpRequestSynchronousInNonWorkerOutsideBeforeUnload"
PERMISSIONS = "permissions-policy-violation"
# The bodies are those that Chromium 156 sends, or the examples of the specifications.
BODIES: list[tuple[dict[str, Any], tuple[str, str, str]]] = [
    sent("csp-hash", HASH, FILE, subresourceURL=f"{FILE}?v=1", hash=HASH, destination="script"),
    sent("integrity-violation", "script", FILE, blockedURL=FILE, destination="script"),
    sent(PERMISSIONS, "geolocation", FILE, policyId="geolocation", sourceFile=FILE),
    sent(f"potential-{PERMISSIONS}", "camera", featureId="camera"),
    sent("coep", "corp", FILE, type="corp", blockedURL=FILE),
    sent("coop", "navigation-to-response", type="navigation-to-response"),
    sent("deprecation", SYNCHRONOUS, id=SYNCHRONOUS),
    sent("intervention", "audio-no-gesture", id="audio-no-gesture"),
    sent("crash", "oom", reason="oom"),
    sent("network-error", "dns.name_not_resolved", type="dns.name_not_resolved"),
    sent("document-policy-violation", "images", FILE, policyId="images", sourceFile=FILE),
    (report("new-type"), ("other", "new-type", "")),
    # Neither a subject of a wrong type nor free text becomes a subject.
    sent("deprecation", "", id=7),
    sent("deprecation", "{secret}", id="call 555-1234 now"),
    sent("crash", "{secret}", reason="sk_live_4eC39HqLyjWDarjtT1zdp7dc"),
    sent("csp-hash", "sha256-x", FILE, hash="sha256-x", subresourceURL=FILE),
    (report("<b>forged</b>"), ("other", "{secret}", "")),
    ({"type": "deprecation"}, ("deprecation", "", "")),
]


def test_each_type_is_counted_by_its_cause(owner: APIClient) -> None:
    assert send(owner, [body for body, _ in BODIES]).status_code == 200
    wait_for(lambda: OtherReport.objects.count() >= len(BODIES))
    assert stored() == {cause: 1 for _, cause in BODIES}
    assert not Report.objects.exists()
    assert not Group.objects.exists()
    row = OtherReport.objects.get(subject=HASH)
    assert (row.page_kind, row.site, row.ingest_key) == (KIND_OF_PAGE, "other", "")
    assert row.client_days == 1
    assert list(findings()) == []


def test_equal_reports_add_to_one_row_with_different_clients(owner: APIClient) -> None:
    deprecation = report("deprecation", id="x")
    for address in ("10.0.0.1", "10.0.0.2", "10.0.0.1"):
        send(owner, [deprecation, deprecation, modern()], REMOTE_ADDR=address)
    wait_for(lambda: sum(stored().values()) >= 6)
    send(owner, [deprecation], REMOTE_ADDR="10.0.0.3")
    wait_for(lambda: sum(stored().values()) >= 7)
    row = OtherReport.objects.get()
    assert (row.reports, row.client_days) == (7, 3)
    assert row.first_seen < row.last_seen
    assert Group.objects.get().reports == 3


def test_reports_of_a_request_that_is_sent_again_are_counted_once(
    owner: APIClient, settings: Any, tmp_path: Path
) -> None:
    reports = [report("deprecation", id="x"), modern(), 7]
    before = REGISTRY.get_sample_value(*INVALID) or 0
    with writer_without_database(settings, tmp_path):
        assert send(owner, reports).status_code == 503
    assert send(owner, reports).status_code == 200
    send(owner, [report("crash", reason="oom")])
    wait_for(lambda: len(stored()) == 2)
    assert stored() == {("deprecation", "x", ""): 1, ("crash", "oom", ""): 1}
    assert REGISTRY.get_sample_value(*INVALID) == before + 1


def test_sites_and_ingest_keys_are_counted_apart(owner: APIClient, settings: Any) -> None:
    settings.ACCESS_URL = "https://coder.example.com"
    shop = "https://shop.test"
    key = run("create_ingest_key", "--origin", shop).split()[0]
    item = report("deprecation", id="x") | {"url": f"{shop}/cart/7"}
    sender = Client(headers={"Origin": shop})
    assert sender.post(f"{PATH}?key={key}", [item], "application/json").status_code == 200
    assert sender.post(f"{PATH}?key=cik_x", [item], "application/json").status_code == 401
    send(owner, [report("deprecation", id="x")])
    wait_for(lambda: OtherReport.objects.count() >= 2)
    rows = set(OtherReport.objects.values_list("site", "ingest_key", "page_kind"))
    assert rows == {
        (shop, "shop.test", f"{shop}/cart/{{number}}"),
        ("https://coder.example.com", "", KIND_OF_PAGE),
    }


def add(number: int, *, key: str = "", client: int = 1, max_new: int = 1_000) -> None:
    now = timezone.now()
    subject = Subject("deprecation", f"id{number}", FILE, key, "other", "page")
    other_reports.write({subject: Tally(now, now, 1, {client})}, max_new=max_new)


def test_invented_values_fill_only_the_rows_of_a_key_and_day() -> None:
    for number in (*range(5), 0):
        add(number, max_new=2)
    add(7, key="other key", max_new=2)
    assert stored() == {
        ("deprecation", "id0", FILE): 2,
        ("deprecation", "id1", FILE): 1,
        ("deprecation", "id7", FILE): 1,
        ("deprecation", "other", ""): 3,
    }
    # The next day has room again.
    OtherReport.objects.update(created_at=timezone.now() - timedelta(days=2))
    add(8, max_new=2)
    assert ("deprecation", "id8", FILE) in stored()


def test_subjects_in_memory_are_limited() -> None:
    waiting: other_reports.Tallies = {}
    for number in (0, 1, 2, 3, 4, 0):
        report = prepare(Parsed("coep", f"id{number}"))
        sender = Sender(timezone.now(), b"%d" % number)
        other_reports.tally(waiting, [report], sender, key="", sites=frozenset(), max_waiting=3)
    found = {subject.subject: tally.reports for subject, tally in waiting.items()}
    assert found == {"id0": 2, "id1": 1, "id2": 1, "other": 2}


def test_expired_rows_and_those_with_the_fewest_clients_are_deleted(settings: Any) -> None:
    for number in range(4):
        add(number)
    for client in (2, 3):
        add(1, client=client)
    OtherReport.objects.filter(subject="id0").update(last_seen=timezone.now() - timedelta(days=40))
    settings.CSP_RETENTION = timedelta(days=30)
    services.prune_reports(timezone.now())
    assert {subject for _, subject, _ in stored()} == {"id1", "id2", "id3"}
    other_reports.prune(timezone.now(), max_rows=1)
    assert {subject for _, subject, _ in stored()} == {"id1"}


@pytest.mark.parametrize("clients", [SKETCH - 1, SKETCH, 5_000])
def test_clients_are_estimated(clients: int) -> None:
    now = timezone.now()
    subject = Subject("coep", "corp", "", "", "other", "page")
    hashed = [keyed_hash("client", b"%d" % n, "secret") for n in range(clients)]
    for start in range(0, clients, 500):
        for _ in range(2):  # Counting the same clients again changes nothing.
            part = set(hashed[start : start + 500])
            other_reports.write({subject: Tally(now, now, 1, part)})
    found = OtherReport.objects.get()
    assert len(found.client_sketch) == min(clients, SKETCH)
    if clients < SKETCH:
        assert found.client_days == clients
    else:
        assert 0.7 * clients < found.client_days < 1.3 * clients


def test_import_counts_other_reports_once(tmp_path: Path) -> None:
    then = (timezone.now() - timedelta(days=3)).isoformat()
    item = report("deprecation", id="x") | {"received_at": then}
    file = write_lines(tmp_path / "a.jsonl", [item, item], [modern()], item)
    assert "1 report imported, 3 reports of other types counted." in run("import_csp_reports", file)
    run("import_csp_reports", file)
    row = OtherReport.objects.get()
    assert (row.reports, row.client_days, row.first_seen.isoformat()) == (3, 1, then)
    bad = write_lines(tmp_path / "b.jsonl", item | {"received_at": "tomorrow"}, [modern()])
    with pytest.raises(CommandError, match="0 reports of other types counted"):
        run("import_csp_reports", bad)


def test_api_lists_filters_and_pages(owner: APIClient, auditor: APIClient) -> None:
    for number in range(3):
        add(number, client=number)
    add(1, client=7)
    add(5, key="shop")
    first = auditor.get(LIST, {"limit": 2}).json()
    assert first["other_reports"][0]["subject"] == "id1"
    second = auditor.get(LIST, {"limit": 2, "after": first["next"]}).json()
    assert [len(each["other_reports"]) for each in (first, second)] == [2, 2]
    assert second["next"] is None
    shop = owner.get(LIST, {"ingest_key": "shop", "type": "deprecation", "site": "other"}).json()
    assert [each["subject"] for each in shop["other_reports"]] == ["id5"]
    assert owner.get(LIST, {"type": "coep"}).json()["other_reports"] == []
    assert owner.get(LIST, {"type": "x"}).status_code == 400
    assert owner.get(LIST, {"ingest_key": "shop", "after": first["next"]}).status_code == 400


def test_admin_lists_and_exports(owner: APIClient) -> None:
    add(1)
    client, path = in_admin("auditor"), "/admin/csp/otherreport/"
    assert "id1" in text_in(client.get(path, {"type": "deprecation"}))
    assert "id1" not in text_in(client.get(path, {"type": "coep"}))
    row = OtherReport.objects.get()
    page = client.get(f"{path}{row.pk}/change/").text
    assert FILE in page
    chosen = {"action": "export_csv", "_selected_action": [str(row.pk)]}
    exported = client.post(path, chosen).getvalue().decode()
    assert '"id1"' in exported
    assert "clients" not in exported.partition("\n")[0].replace("client_days", "")


def test_group_of_scripts_shows_the_hashes_of_its_host(owner: APIClient) -> None:
    send(owner, [modern(), report("csp-hash", subresourceURL=FILE, hash=HASH)])
    send(owner, [report("csp-hash", subresourceURL="https://else.test/a.js", hash=HASH)])
    wait_for(lambda: OtherReport.objects.count() >= 2)
    group = Group.objects.get()
    expected = [{"url": FILE, "hash": HASH, "client_days": 1}]
    detail = owner.get(f"/api/coderapi/v1/csp/groups/{group.pk}").json()
    assert detail["script_file_hashes"] == expected
    page = in_admin("owner").get(f"/admin/csp/group/{group.pk}/change/").text
    assert f"<code>&#x27;{HASH}&#x27;</code>" in page or f"<code>'{HASH}'</code>" in page
    send(owner, legacy(effective_directive="img-src", violated_directive="img-src"))
    image = Group.objects.get(directive="img-src")
    assert owner.get(f"/api/coderapi/v1/csp/groups/{image.pk}").json()["script_file_hashes"] == []


@given(st.dictionaries(st.text(max_size=8), st.text(max_size=40) | st.integers() | st.none()))
def test_any_report_can_be_counted(body: dict[str, Any]) -> None:
    for item in ({"type": "coep", "body": body}, {"type": "csp-hash", **body}):
        for other in parse([item]).others:
            assert len(prepare(other).subject) <= 128


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
    with (
        fresh_writer(),
        forwarding(tmp_path, live_server, **members) as address,
        browsing(tmp_path / "profile", flags=FLAGS) as window,
    ):
        settings.ACCESS_URL = address
        expected = {"csp-hash", "deprecation", "permissions-policy-violation"}
        for path, types in (("/hash", expected), ("/integrity", {"integrity-violation"})):
            window.open(f"{address}{path}")
            wait_for(lambda types=types: types <= {type for type, *_ in stored()})  # type: ignore[misc]
        row = OtherReport.objects.filter(type="csp-hash").first()
        assert row is not None
        assert (row.cause_url, row.page_kind) == (f"{address}/code.js", f"{address}/hash")
