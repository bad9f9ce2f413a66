"""Sites: each has its own groups, decisions, policies and numbers."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from audit.models import Entry
from csp.models import Group, Report
from csp.triage.overview import breakable
from csp.triage.sites import sites_of_groups
from kernel import memory
from tests.support.api.client import APIClient
from tests.support.commands import run, write_lines
from tests.support.csp.groups import GROUPS, NOW, make_group, patch
from tests.support.csp.reports import in_admin, legacy, send

PORTAL, SHOP = "https://portal.acme.test", "https://shop.acme.test:8443"

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def sites(collecting: None, settings: Any) -> None:
    """Makes two sites: the access URL, and the origin of an ingest key."""
    settings.ACCESS_URL = f"{PORTAL}/"
    run("create_ingest_key", "--origin", SHOP)


def report_on(site: str, owner: APIClient, **members: Any) -> None:
    report = legacy(document_uri=f"{site}/page", **members)
    assert send(owner, report).status_code == 200


def found_sites() -> dict[str, int]:
    counts: Counter[str] = Counter()
    for site, *numbers in Group.objects.values_list("site", "reports", "noise_reports"):
        counts[site] += sum(numbers)
    return dict(counts)


def test_site_is_the_origin_of_a_key_or_the_access_url(sites: None, owner: APIClient) -> None:
    """A new key makes a new site at once, and a retired key keeps it."""
    old = "https://old.acme.test"
    invented = ("https://evil.test", "https://portal.acme.test:99", "http://portal.acme.test")
    for site in (PORTAL, "https://PORTAL.acme.test:443", SHOP, *invented, "about:blank", "", old):
        report_on(site, owner)
    assert found_sites() == {PORTAL: 2, SHOP: 1, "other": 6}
    run("create_ingest_key", "--origin", old, "--name", "old")
    report_on(old, owner)
    run("retire_ingest_key", "old")
    report_on(old, owner)
    assert found_sites() == {PORTAL: 2, SHOP: 1, "other": 6, old: 2}


def test_groups_of_sites_are_decided_and_filtered_apart(sites: None, owner: APIClient) -> None:
    for site in (PORTAL, SHOP):
        report_on(site, owner)
    groups = {group["site"]: group for group in owner.get(GROUPS).json()["groups"]}
    assert set(groups) == {PORTAL, SHOP}
    patch(owner, f"{GROUPS}/{groups[SHOP]['id']}", {"state": "ignored"})
    report_on(PORTAL, owner)
    [shop] = owner.get(GROUPS, {"site": SHOP}).json()["groups"]
    [portal] = owner.get(GROUPS, {"site": PORTAL}).json()["groups"]
    assert (shop["state"], shop["reports"]) == ("ignored", 1)
    assert (portal["state"], portal["reports"]) == ("new", 2)
    assert owner.get(GROUPS, {"site": "x"}).json()["groups"] == []


def test_summary_counts_one_site_or_all(sites: None, owner: APIClient) -> None:
    for site in (PORTAL, PORTAL, SHOP):
        report_on(site, owner)
    path = "/api/coderapi/v1/csp/summary"
    every, portal = owner.get(path).json(), owner.get(path, {"site": PORTAL}).json()
    assert (every["site"], every["reports"], every["groups_by_state"]["new"]) == (None, 3, 2)
    assert (portal["site"], portal["reports"], portal["groups_by_state"]["new"]) == (PORTAL, 2, 1)
    of_sites = {each["site"]: (each["open_groups"], each["reports"]) for each in every["sites"]}
    assert of_sites == {PORTAL: (1, 2), SHOP: (1, 1)}
    assert [each["site"] for each in portal["sites"]] == [PORTAL]


def test_pages_show_sites_only_if_there_are_several(sites: None, owner: APIClient) -> None:
    client = in_admin("owner")
    report_on(PORTAL, owner)
    group = Group.objects.get()
    pages = (
        ("/admin/csp/", f"{breakable(PORTAL)}</td>"),
        ("/admin/csp/group/", f"{breakable(PORTAL)}</td>"),
        (f"/admin/csp/group/{group.pk}/change/", f" on {PORTAL}"),
    )
    before = [client.get(page).text for page, _ in pages]
    memory.clear_all()
    report_on(SHOP, owner)
    after = [client.get(page).text for page, _ in pages]
    for (page, site), one, several in zip(pages, before, after, strict=True):
        assert (site in one, site in several) == (False, True), page
    for page in ("/admin/csp/", "/admin/csp/group/"):
        shop = client.get(page, {"site": SHOP}).text
        assert shop.count(f"{breakable(SHOP)}</td>") == 1
        assert f"{breakable(PORTAL)}</td>" not in shop


def test_reports_and_commands_are_filtered_by_site(sites: None, owner: APIClient) -> None:
    for site in (PORTAL, SHOP):
        report_on(site, owner)
    client = in_admin("owner")
    assert "By site" in client.get("/admin/csp/report/").text
    listed = client.get("/admin/csp/report/", {"site": SHOP}).text
    assert (f"{SHOP}/page" in listed, f"{PORTAL}/page" in listed) == (True, False)
    report = Report.objects.get(group__site=SHOP)
    shown = client.get(f"/admin/csp/report/{report.pk}/change/").text
    assert f'<div class="readonly">{SHOP}</div>' in shown
    assert f"Script from cdn.example.net on {PORTAL}" in run("list_csp_groups")
    assert run("list_csp_groups", "--site", SHOP).endswith("1 of 1 group.")
    assert f"Script from cdn.example.net on {SHOP}" in run("list_csp_advice", "--site", SHOP)
    rows = run("list_csp_advice", "--site", SHOP, "--json").splitlines()
    assert [json.loads(row)["site"] for row in rows] == [SHOP]


def test_exported_reports_have_their_site(sites: None, owner: APIClient, tmp_path: Path) -> None:
    for site in (PORTAL, SHOP, "https://invented.test"):
        report_on(site, owner)
    expected = {f"{site}/page": site for site in (PORTAL, SHOP)}
    expected["https://invented.test/page"] = "other"
    lines = run("export_csp_reports").splitlines()
    rows = [json.loads(line) for line in lines]
    assert {row["csp-report"]["document-uri"]: row["site"] for row in rows} == expected
    client, path = in_admin("owner"), "/admin/csp/report/"
    chosen = {"_selected_action": list(Report.objects.values_list("pk", flat=True))}
    answer = client.post(path, {"action": "export_csv", **chosen}).getvalue().decode()
    table = csv.DictReader(io.StringIO(answer))
    assert {row["document_uri"]: row["site"] for row in table} == expected
    answer = client.post(path, {"action": "export_json_lines", **chosen}).getvalue().decode()
    rows = [json.loads(line) for line in answer.splitlines()]
    assert {row["document_uri"]: row["site"] for row in rows} == expected
    # An import finds the site again, and does not store the member.
    Report.objects.all().delete()
    run("import_csp_reports", write_lines(tmp_path / "a.jsonl", *map(json.loads, lines)))
    assert set(Report.objects.values_list("group__site", "other_members__site")) == {
        (site, None) for site in expected.values()
    }


def test_sites_of_groups_are_listed_once() -> None:
    assert sites_of_groups() == []
    for site in (SHOP, PORTAL, SHOP, "other"):
        make_group(site=site)
    memory.clear_all()
    assert sites_of_groups() == [PORTAL, SHOP, "other"]


def test_decision_is_copied_to_the_same_cause_on_other_sites(owner: APIClient) -> None:
    decided = {"state": "ignored", "state_set_at": NOW, "ignored_client_days": 50, "note": "Known."}
    first = make_group(site=PORTAL, **decided)
    second = make_group(site=SHOP, client_days=70)
    unlike = make_group(site=SHOP, blocked_source="a.example")
    client, path = in_admin("owner"), f"/admin/csp/group/{first.pk}"
    page = client.get(f"{path}/change/").text
    assert page.count(f"{breakable(SHOP)}</a>") == 1
    assert "Changed groups of other sites: 1." in client.post(f"{path}/copy/", follow=True).text
    second.refresh_from_db()
    unlike.refresh_from_db()
    assert (second.state, second.note, second.ignored_client_days) == ("ignored", "Known.", 50)
    assert unlike.state == "new"
    assert Entry.objects.get(action="csp.group.decide").target_id == str(second.pk)
    assert client.get(f"{path}/copy/").status_code == 405
    assert in_admin("auditor").post(f"{path}/copy/").status_code == 403


def test_advice_speaks_of_coder_only_for_the_access_url(sites: None, owner: APIClient) -> None:
    for site in (PORTAL, SHOP):
        report_on(site, owner)
    client = in_admin("owner")
    for site, setting in ((PORTAL, "CODER_ADDITIONAL_CSP_POLICY"), (SHOP, None)):
        group = Group.objects.get(site=site)
        advice = owner.get(f"{GROUPS}/{group.pk}").json()["advice"]
        entry = "script-src https://cdn.example.net"
        assert (advice["policy_entry"], advice["setting"]) == (entry, setting)
        page = client.get(f"/admin/csp/group/{group.pk}/change/").text
        assert ("CODER_ADDITIONAL_CSP_POLICY" in page) is bool(setting)
        assert ("of the site's policy" in unescape(page)) is not bool(setting)
