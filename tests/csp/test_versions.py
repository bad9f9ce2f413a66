"""Versions of sites: which reports carry them, in which one a group is new, and the gate."""

from __future__ import annotations

import json
from datetime import timedelta
from io import StringIO
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from csp import services
from csp.models import DistinctHash, Group, GroupVersion, IngestKey, Report, Version
from csp.scrubbing.versions import checked_version, precedence
from csp.triage.releases import gate
from csp.triage.releases.versions import mark_new
from csp.triage.selectors import groups_at
from csp.writing import distinct, versions, writer
from csp.writing.entries import Caller, Entry
from kernel import memory
from kernel.db.connections import connect_directly
from kernel.http import asking
from tests.support.api.client import APIClient
from tests.support.commands import manage, run, write_lines
from tests.support.csp.groups import GROUPS, patch
from tests.support.csp.reports import PATH, as_bytes, entries, in_admin, legacy
from tests.support.processes import wait_for

GATE = "/api/coderapi/v1/csp/gate"
CODER, SHOP = "https://coder.acme.test", "https://shop.acme.test"
STAGING = "https://staging.acme.test"
RELEASES = "/admin/csp/group/releases/"

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def sites(collecting: None, settings: Any) -> None:
    """Makes two sites. Coder is the access URL, and the shop has an ingest key."""
    settings.ACCESS_URL = CODER
    run("create_ingest_key", "--origin", SHOP)


def report(
    owner: APIClient, version: str, host: str, *, site: str = SHOP, clients: int = 1, **more: Any
) -> None:
    """Sends the same report from this number of clients."""
    body = legacy(document_uri=f"{site}/page", blocked_uri=f"https://{host}.example.net/a.js")
    url = f"{PATH}?v={version}" if version else PATH
    for client in range(clients):
        address = {"REMOTE_ADDR": f"10.0.{client}.1"}
        answer = owner.post_json(url, as_bytes(body), **{**address, **more})
        assert answer.status_code == 200, answer.text
    memory.clear_all()


def new_in() -> dict[str, str]:
    """Returns the version in which each group is new, by the first label of its host."""
    groups = mark_new(list(groups_at(timezone.now())))
    return {group.blocked_source.partition(".")[0]: group.new_in for group in groups}


# --- The names of versions --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("1", "1"),
        ("v2.29.0", "2.29.0"),
        ("1.2.3.4", "1.2.3.4"),
        ("2026.01.05", "2026.01.05"),
        ("20261130120000", "20261130120000"),
        ("1.4.0-rc.1", "1.4.0-rc.1"),
        ("1.4.0 5b1f0a3", "1.4.0+5b1f0a3"),
        ("0.0.0-devel+5b1f0a3", "0.0.0-devel+5b1f0a3"),
    ],
)
def test_version_is_accepted(text: str, name: str) -> None:
    assert checked_version(text) == name


@pytest.mark.parametrize(
    "text",
    [
        *("", "v", "main", "5b1f0a3", "1.", "1..2", "1.2.3.4.5", "1.0-", "1.0-ä", "1.0\n"),
        "\u0661",
        # These look like secrets, which anyone could put into the URL of a page.
        *("1.0-cik5b1f0a3e8d7c6b5a4f3e2d1c0b9a8", f"1.0+{'5b1f0a3e8d' * 4}"),
        f"1.{'0' * 63}",
        "v1" * 5000,
    ],
)
def test_anything_else_is_no_version(text: str) -> None:
    with pytest.raises(ValueError, match="must be a version such as"):
        checked_version(text)


def test_versions_are_ordered_as_versions() -> None:
    ordered = [
        *("1", "1.0.1-alpha", "1.0.1-alpha.1", "1.0.1-alpha.beta", "1.0.1-beta.2"),
        *("1.0.1-beta.11", "1.0.1-rc.1", "1.0.1", "2.9.0", "2.29.0-rc.1", "2.29.0", "2.29.0.1"),
        *("2026.9.30", "2026.10.01", "20261130", "0.0.0-devel+5b1f0a3"),
    ]
    ranks = [precedence(name) for name in ordered]
    assert all(first < second for first, second in pairwise(ranks))
    assert precedence("1.0") == precedence("1.0.0") == precedence("1.0.0+build.5")


@given(st.lists(st.from_regex(r"[0-9.]{1,5}(-[0-9a-z.-]{0,6})?", fullmatch=True), max_size=6))
def test_any_names_can_be_ordered(names: list[str]) -> None:
    ranks = sorted(map(precedence, names))
    assert all(first <= second for first, second in pairwise(ranks))


# --- What a report carries --------------------------------------------------------------------


def test_report_has_the_version_in_the_url_or_that_of_coder(
    sites: None, owner: APIClient, settings: Any
) -> None:
    settings.CODER_VERSION = "2.29.0"
    for site, version in ((CODER, ""), (CODER, "v2.30.0"), (SHOP, ""), (SHOP, "1.4.0-rc.1")):
        report(owner, version, "cdn", site=site)
    found = Report.objects.order_by("pk").values_list("version_name", flat=True)
    assert list(found) == ["2.29.0", "2.30.0", "", "1.4.0-rc.1"]


def test_wrong_version_is_rejected_and_shown_on_the_page_of_the_key(
    sites: None, owner: APIClient, anonymous: APIClient
) -> None:
    key = IngestKey.objects.get()
    url = f"{PATH}?key={key.value}&v=main"
    answer = anonymous.post_json(url, as_bytes(legacy()), HTTP_ORIGIN=SHOP)
    assert answer.status_code == 400
    [problem] = answer.json()["validations"]
    assert problem["field"] == "v"
    assert problem["detail"].startswith("must be a version such as 1.4.0")
    assert Report.objects.count() == 0
    page = f"/admin/csp/ingestkey/{key.pk}/check/"
    wait_for(lambda: "The version in the URL is not valid." in in_admin("owner").get(page).text)


def test_key_and_its_page_show_the_url_with_a_version(sites: None) -> None:
    printed = run("create_ingest_key", "--origin", "https://blog.acme.test")
    key = IngestKey.objects.latest("pk")
    url = f"{CODER}{PATH}?key={key.value}&v=1.4.0"
    assert printed.count(url) == 1
    page = in_admin("owner").get(f"/admin/csp/ingestkey/{key.pk}/check/").text
    assert page.count(url.replace("&", "&amp;")) == 1


# --- What is stored ---------------------------------------------------------------------------


def test_clients_are_counted_by_version_until_it_expires(sites: None, owner: APIClient) -> None:
    report(owner, "1.4.0", "cdn", clients=3)
    report(owner, "1.5.0", "cdn", clients=2)
    report(owner, "1.5.0", "cdn", clients=1)
    report(owner, "", "cdn", clients=4)
    found = GroupVersion.objects.order_by("version").values_list("version__name", "client_days")
    assert list(found) == [("1.4.0", 3), ("1.5.0", 2)]
    # A client counts once in the group.
    assert Group.objects.get().client_days == 4
    [first, _] = Version.objects.order_by("pk")
    assert (first.site, first.first_seen) == (SHOP, Group.objects.get().first_seen)
    # The numbers of a version expire with it, and the others with the group.
    expired = timezone.now() - timedelta(days=92)
    Version.objects.filter(name="1.4.0").update(last_seen=expired)
    services.prune_reports(timezone.now())
    assert Version.objects.get().name == "1.5.0"
    assert GroupVersion.objects.get().client_days == 2
    assert DistinctHash.objects.filter(version_id__gt=0).count() == 2
    Group.objects.update(last_seen=expired)
    services.prune_reports(timezone.now())
    assert GroupVersion.objects.count() == DistinctHash.objects.count() == 0


def test_reach_of_a_version_is_a_sketch(collecting: None, settings: Any) -> None:
    for start in range(0, 4_000, 500):
        settings.CODER_VERSION = "2.29.0" if start < 2_000 else "2.30.0"
        batch = [entries(legacy(), address=f"10.0.{n}") for n in range(start, start + 500)]
        asking.run(writer.write([entry for some in batch for entry in some]))
    assert Group.objects.get().client_days == pytest.approx(4_000, rel=0.12)
    found = GroupVersion.objects.values_list("client_days", flat=True)
    assert list(found) == [pytest.approx(2_000, rel=0.12)] * 2
    members = DistinctHash.objects.filter(version_id__gt=0)
    services.prune_reports(entries(legacy())[0].row["received_at"])
    assert members.count() == pytest.approx(distinct.EXACT, rel=0.12)


def test_versions_of_one_batch_count_a_client_once(collecting: None, settings: Any) -> None:
    for batch in ("1.4.0", "1.5.0"), ("1.5.0", "1.6.0", ""):
        found = []
        for version in batch:
            settings.CODER_VERSION = version
            found += entries(legacy(), address="10.0.0.1")
        asking.run(writer.write(found))
    assert GroupVersion.objects.values_list("client_days", flat=True).distinct().get() == 1
    assert GroupVersion.objects.count() == 3
    assert Group.objects.values_list("client_days", "pages").get() == (1, 1)


def test_imported_reports_have_sites_and_versions(sites: None, tmp_path: Path) -> None:
    times = [(timezone.now() - timedelta(days=days)).isoformat() for days in (2, 1)]
    line = legacy(document_uri=f"{SHOP}/") | {"version": "1.4.0"}
    lines = [{**line, "received_at": at} for at in times]
    run("import_csp_reports", write_lines(tmp_path / "a.jsonl", *lines))
    stored = Version.objects.get()
    assert (stored.site, Group.objects.get().site) == (SHOP, SHOP)
    seen = stored.last_seen - stored.first_seen
    assert seen == pytest.approx(timedelta(days=1), abs=timedelta(seconds=1))
    assert GroupVersion.objects.get().client_days == 2


def test_caller_can_report_few_new_versions(sites: None, owner: APIClient) -> None:
    for number in range(versions.MAX_NEW_VERSIONS + 5):
        report(owner, f"1.{number}", "cdn")
    assert Version.objects.count() == versions.MAX_NEW_VERSIONS
    # The report itself has the version.
    assert Report.objects.filter(version_name="1.14").count() == 1
    assert GroupVersion.objects.count() == versions.MAX_NEW_VERSIONS
    # The versions that are stored already still count.
    report(owner, "1.0", "cdn", clients=2)
    assert GroupVersion.objects.get(client_days=2).version.name == "1.0"


def test_new_versions_replace_only_older_ones_with_few_clients(
    sites: None, owner: APIClient
) -> None:
    for name, clients in (("1.3.0", 1), ("1.4.0", 2), ("1.5.0", 1)):
        report(owner, name, "cdn", clients=clients)
    now, stored = timezone.now(), versions.Versions(limit=4)

    def make_older(*names: str) -> None:
        earlier = now - timedelta(days=2)
        Version.objects.filter(name__in=names).update(first_seen=earlier, last_seen=earlier)

    def names_after(caller: bytes, *new: str) -> set[str]:
        by = Caller(caller, b"")
        row = {"group_site": SHOP, "received_at": now}
        found = [Entry(by, None, row | {"version_name": name}) for name in new]
        with connect_directly() as connection:
            stored.store(connection, found)
        return set(Version.objects.values_list("name", flat=True))

    make_older("1.3.0", "1.4.0")
    # 1.5.0 is of today. Half of the places are for versions of the last day.
    assert names_after(b"1", "9.0", "9.1") == {"1.3.0", "1.4.0", "1.5.0", "9.0"}
    assert names_after(b"2", "9.2") == {"1.3.0", "1.4.0", "1.5.0", "9.0"}
    make_older("1.5.0", "9.0")
    assert names_after(b"3", "9.3", "9.4") == {"1.4.0", "1.5.0", "9.3", "9.4"}
    services.prune_reports(now)
    assert GroupVersion.objects.count() == 2
    assert DistinctHash.objects.filter(version_id__gt=0).count() == 3


# --- Groups that are new in a version ---------------------------------------------------------


def test_group_is_new_in_its_oldest_version(sites: None, owner: APIClient) -> None:
    report(owner, "2.9.0", "old")
    report(owner, "2.29.0", "new")
    report(owner, "2.29.0", "old")
    report(owner, "2.29.0-rc.1", "early")
    report(owner, "2.29.0", "early")
    assert new_in() == {"old": "", "new": "2.29.0", "early": "2.29.0-rc.1"}
    # An old tab reports later, so the group is not new in the newer version.
    report(owner, "2.9.0", "new")
    assert new_in()["new"] == ""


def test_group_from_before_the_first_version_is_new_in_none(sites: None, owner: APIClient) -> None:
    report(owner, "", "old")
    report(owner, "1.4.0", "cdn")
    report(owner, "1.5.0", "old")
    # Versions of another site do not count.
    report(owner, "1.4.0", "coder", site=CODER)
    assert set(new_in().values()) == {""}


def test_version_is_shown_and_filtered_if_there_are_several(sites: None, owner: APIClient) -> None:
    client = in_admin("owner")
    pages = ("/admin/csp/", "/admin/csp/group/")
    report(owner, "1.4.0", "old")
    for page in (*pages, f"/admin/csp/group/{Group.objects.get().pk}/change/", RELEASES):
        text = client.get(page).text
        assert "new in" not in text.lower(), page
        assert "1.4.0" not in text, page
        assert "new_in" not in text, page
    [group] = owner.get(GROUPS).json()["groups"]
    detail = owner.get(f"{GROUPS}/{group['id']}").json()
    assert (group["new_in"], detail["versions"]) == (None, [])

    report(owner, "1.5.0", "new", clients=2)
    for page in pages:
        assert client.get(page).text.count("new in 1.5.0</span>") >= 1, page
    listed = client.get("/admin/csp/group/", {"new_in": "1.5.0"}).text
    assert "Script from new.example.net</a>" in listed
    assert "Script from old.example.net</a>" not in listed
    assert "By version that added it" in listed
    [group] = owner.get(GROUPS, {"new_in": "1.5.0"}).json()["groups"]
    assert (group["blocked_source"], group["new_in"]) == ("new.example.net", "1.5.0")
    assert owner.get(GROUPS, {"new_in": "1.4.0"}).json()["groups"] == []
    page = client.get(f"/admin/csp/group/{group['id']}/change/").text
    for shown in ("new in 1.5.0</span>", "<td>1.5.0</td><td>2</td>"):
        assert shown in page
    detail = owner.get(f"{GROUPS}/{group['id']}").json()
    assert detail["versions"] == [{"version": "1.5.0", "client_days": 2}]
    decided = patch(owner, f"{GROUPS}/{group['id']}", {"state": "acknowledged"}).json()
    assert decided["new_in"] == "1.5.0"


def test_page_compares_two_versions(sites: None, owner: APIClient) -> None:
    report(owner, "1.4.0", "gone")
    for version in ("1.4.0", "1.5.0", "1.6.0"):
        report(owner, version, "steady")
    report(owner, "1.5.0", "new", clients=2)
    report(owner, "1.6.0", "newest")
    client = in_admin("auditor")

    def compared(**parameters: str) -> list[list[str]]:
        page = client.get(RELEASES, parameters).text
        sections = page.partition('<section class="module"')[2].split("<section")
        hosts = ("gone", "steady", "newest", "new")
        return [[host for host in hosts if f"{host}.example.net" in each] for each in sections]

    # By default, the newest version is compared with the one before it.
    assert compared() == [["newest"], ["new"]]
    assert compared(old_version="1.4.0", new_version="1.5.0") == [["new"], ["gone"]]
    # Values that do not exist, and versions in the wrong order, are replaced by the default.
    assert compared(old_version="1.6.0", new_version="1.5.0") == [["new"], ["gone"]]
    assert compared(old_version="x", new_version="y", site="z") == [["newest"], ["new"]]
    # "new" was reported with neither.
    assert compared(old_version="1.4.0", new_version="1.6.0") == [["newest"], ["gone"]]
    assert "Client days with 1.5.0" in client.get(RELEASES, {"new_version": "1.5.0"}).text


# --- The gate ---------------------------------------------------------------------------------


def ask(owner: APIClient, **parameters: Any) -> dict[str, Any]:
    query = {"old_version": "1.4.0", "new_version": "1.5.0", **parameters}
    found: dict[str, Any] = owner.get(GATE, query).json()
    return found


def causes(answer: dict[str, Any]) -> list[str]:
    return [group["blocked_source"].partition(".")[0] for group in answer["groups"]]


def command(*options: str) -> tuple[int, str]:
    """Returns the exit status of the command, and its message."""
    versions = ("--old-version", "1.4.0", "--new-version", "1.5.0")
    try:
        return 0, run("check_csp_gate", *versions, *options)
    except CommandError as error:
        return error.returncode, str(error)


@pytest.fixture
def upgraded(sites: None, owner: APIClient) -> None:
    """Adds one group with the version 1.4.0, and one with 1.5.0 that three clients reported."""
    report(owner, "1.4.0", "old")
    report(owner, "1.5.0", "old")
    report(owner, "1.5.0", "new", clients=3)


@pytest.mark.usefixtures("upgraded")
def test_gate_finds_the_new_groups(owner: APIClient) -> None:
    found = ask(owner)
    about = ("passed", "old_version", "new_version", "further_groups")
    assert [found[name] for name in about] == [False, "1.4.0", "1.5.0", 0]
    [group] = found["groups"]
    names = ("blocked_source", "client_days_new_version", "risk_if_allowed")
    assert [group[name] for name in names] == ["new.example.net", 3, "high"]
    assert command() == (1, "1 new group with 1.5.0, compared with 1.4.0.")


@pytest.mark.usefixtures("upgraded")
@pytest.mark.parametrize("state", ["acknowledged", "ignored", "resolved"])
def test_gate_passes_after_a_decision(owner: APIClient, state: str) -> None:
    [group] = ask(owner)["groups"]
    patch(owner, f"{GROUPS}/{group['id']}", {"state": state})
    assert ask(owner) | {"groups": []} == ask(owner)
    assert ask(owner)["passed"] is True
    assert command() == (0, "No new group with 1.5.0, compared with 1.4.0.")


@pytest.mark.usefixtures("upgraded")
def test_gate_counts_resolved_groups_that_come_back(owner: APIClient) -> None:
    report(owner, "1.4.0", "fixed")
    fixed = Group.objects.get(blocked_source="fixed.example.net")
    first = Version.objects.get(name="1.5.0").first_seen
    at = first - timedelta(hours=1)
    Group.objects.filter(pk=fixed.pk).update(state="resolved", state_set_at=at)
    assert causes(ask(owner)) == ["new"]
    report(owner, "1.5.0", "fixed")
    assert causes(ask(owner)) == ["new", "fixed"]


@pytest.mark.usefixtures("upgraded")
def test_gate_counts_only_groups_with_enough_clients_and_risk(owner: APIClient) -> None:
    image = legacy(
        document_uri=f"{SHOP}/page",
        effective_directive="img-src",
        violated_directive="img-src",
        blocked_uri="https://img.example.net/a.png",
    )
    assert owner.post_json(f"{PATH}?v=1.5.0", as_bytes(image)).status_code == 200
    assert causes(ask(owner)) == ["new", "img"]
    assert causes(ask(owner, min_client_days=2)) == ["new"]
    assert causes(ask(owner, min_client_days=4)) == []
    assert causes(ask(owner, min_risk_if_allowed="medium")) == ["new"]
    assert command("--min-client-days", "4")[0] == 0
    assert command("--min-client-days", "3", "--min-risk-if-allowed", "high")[0] == 1


@pytest.mark.usefixtures("upgraded")
def test_gate_looks_at_older_versions_and_at_one_site(owner: APIClient) -> None:
    report(owner, "1.3.0", "new")
    assert ask(owner)["passed"] is True
    for version, host in (("1.4.0", "a"), ("1.5.0", "a"), ("1.5.0", "b")):
        report(owner, version, host, site=CODER)
    assert causes(ask(owner)) == causes(ask(owner, site=CODER)) == ["b"]
    assert ask(owner, site=SHOP)["passed"] is True
    assert command("--site", SHOP)[0] == 0
    assert command("--site", CODER)[0] == 1


def on_staging(key: str, version: str, host: str, *, client: int = 0, origin: str = "") -> None:
    """Sends a report of a page of the staging site with an ingest key."""
    body = as_bytes(legacy(document_uri=f"{STAGING}/", blocked_uri=f"https://{host}.test/"))
    headers = {"Origin": origin} if origin else {}
    more: Any = {"REMOTE_ADDR": f"10.0.{client}.1", "headers": headers}
    answer = APIClient().post_json(f"{PATH}?key={key}&v={version}", body, **more)
    assert answer.status_code == 200, answer.text


def test_key_of_another_site_changes_nothing(sites: None, owner: APIClient) -> None:
    """The key of the shop is public. Only the pipeline has the key of the staging site."""
    shop = IngestKey.objects.get().value
    own = run("create_ingest_key", "--origin", STAGING).split()[0]

    def state() -> tuple[Any, ...]:
        memory.clear_all()
        groups = Group.objects.filter(site=STAGING).order_by("pk")
        shown = [(group.blocked_source, group.reports) for group in groups]
        regressed = owner.get(GROUPS, {"state": "regressed"}).json()["groups"]
        found = ask(owner, old_version="2.0.0", new_version="2.1.0", site=STAGING)
        return shown, regressed, found["passed"], causes(found)

    for version, host in (("2.0.0", "fixed"), ("2.1.0", "old"), ("2.1.0", "new")):
        on_staging(own, version, host)
    on_staging(own, "2.0.0", "old")
    fixed = Group.objects.get(blocked_source="fixed.test")
    patch(owner, f"{GROUPS}/{fixed.pk}", {"state": "resolved"})
    before = state()
    assert before[1:] == ([], False, ["new"])
    for origin in ("", SHOP):
        on_staging(shop, "2.0.0", "new", origin=origin)
        on_staging(shop, "2.1.0", "invented", origin=origin)
        on_staging(shop, "2.1.0", "fixed", origin=origin)
    for number in range(120):
        on_staging(shop, f"1.{number // 2}.0", "old", client=1 + number % 20)
    assert state() == before
    assert set(Group.objects.exclude(site=STAGING).values_list("site", flat=True)) == {"other"}


@pytest.mark.parametrize("origin", ["", SHOP, "null", "https://evil.test", "x" * 9000])
def test_report_of_another_page_than_its_origin_is_other(
    sites: None, owner: APIClient, origin: str
) -> None:
    report(owner, "1.0", "cdn", headers={"Origin": origin} if origin else {})
    site = SHOP if origin in {"", SHOP, "null"} else "other"
    assert Group.objects.get().site == site


@pytest.mark.usefixtures("upgraded")
def test_gate_stays_closed_if_there_are_too_many_groups(
    owner: APIClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate, "MAX_GROUPS", 1)
    report(owner, "1.5.0", "other")
    found = ask(owner)
    assert (causes(found), found["further_groups"]) == (["new"], 1)
    message = "2 new groups with 1.5.0, compared with 1.4.0."
    assert command("--min-risk-if-allowed", "high") == (1, message)


@pytest.mark.usefixtures("upgraded")
@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (
            {"new_version": "1.6.0"},
            "new_version: No report has the version 1.6.0. Newest versions: 1.5",
        ),
        ({"old_version": "1.3.0"}, "old_version: No report has the version 1.3.0."),
        ({"old_version": "1.6.0"}, "new_version: 1.5.0 must be newer than 1.6.0."),
        ({"old_version": "1.5.0"}, "new_version: 1.5.0 must be newer than 1.5.0."),
        ({"old_version": "main"}, "old_version: It must be a version such as 1.4.0"),
        ({"new_version": ""}, "new_version: It must be a version such as 1.4.0"),
        (
            {"site": CODER},
            f"old_version: No report of {CODER} has the version 1.4.0. new_version: No report",
        ),
        ({"site": "x y"}, "site: 'x y' is not an origin"),
        ({"site": "portal.test"}, "site: 'portal.test' is not an origin such as https://"),
    ],
)
def test_wrong_question_is_rejected(
    owner: APIClient, options: dict[str, str], problem: str
) -> None:
    answer = owner.get(GATE, {"old_version": "1.4.0", "new_version": "1.5.0", **options})
    assert answer.status_code == 400
    shown = [(each["field"], each["detail"]) for each in answer.json()["validations"]]
    assert " ".join(f"{name}: {detail}" for name, detail in shown).startswith(problem)
    given = [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
    named = " ".join(f"--{name.replace('_', '-')}: {detail}" for name, detail in shown)
    assert command(*given) == (2, named)


@pytest.mark.usefixtures("upgraded")
def test_versions_of_different_sites_are_not_compared(owner: APIClient) -> None:
    report(owner, "1.6.0", "cdn", site=CODER)
    answer = owner.get(GATE, {"old_version": "1.5.0", "new_version": "1.6.0"})
    assert answer.status_code == 400
    assert "No site has reported 1.5.0 first, and then 1.6.0." in answer.text


@pytest.mark.usefixtures("upgraded")
def test_version_without_reports_can_be_allowed(owner: APIClient) -> None:
    unseen = ask(owner, old_version="1.5.0", new_version="1.6.0", allow_unseen="true")
    assert unseen["passed"] is True
    # The older version still has its place among those that were reported.
    assert causes(ask(owner, old_version="1.4.5", allow_unseen="true")) == ["new"]
    assert causes(ask(owner, old_version="1.3.0", allow_unseen="true")) == ["new", "old"]
    assert command("--new-version", "1.6.0", "--old-version", "1.5.0", "--allow-unseen")[0] == 0
    assert command("--site", "portal.test", "--allow-unseen")[0] == 2
    assert command("--site", "HTTPS://portal.test/", "--allow-unseen")[0] == 0


@pytest.mark.usefixtures("upgraded")
@pytest.mark.parametrize(
    ("name", "value"),
    [("min_risk_if_allowed", "x"), ("min_client_days", "x"), ("allow_unseen", "x"), ("foo", "1")],
)
def test_wrong_parameter_is_rejected(owner: APIClient, name: str, value: str) -> None:
    answer = owner.get(GATE, {"old_version": "1.4.0", "new_version": "1.5.0", name: value})
    assert answer.status_code == 400
    assert answer.json()["validations"][0]["field"] == name


@pytest.mark.usefixtures("upgraded")
def test_command_prints_the_groups() -> None:
    key = Group.objects.get(blocked_source="new.example.net").pk
    text, lines = StringIO(), StringIO()
    for out, options in ((text, ()), (lines, ("--json",))):
        with pytest.raises(CommandError):
            call_command(
                "check_csp_gate", "--old-version=1.4.0", "--new-version=1.5.0", *options, stdout=out
            )
    about = "Script from new.example.net (3 client days, 3 reports, risk high)"
    page = f"{CODER}/admin/csp/group/{key}/change/"
    assert text.getvalue() == f"{about}\n  {page}\n"
    found = json.loads(lines.getvalue())
    names = ("id", "client_days_new_version", "risk_if_allowed")
    assert [found[name] for name in names] == [str(key), 3, "high"]


@pytest.mark.parametrize("options", [[], ["--new-version=1.5", "--min-client-days=0"]])
def test_wrong_options_have_the_exit_status_2(options: list[str]) -> None:
    assert manage("check_csp_gate", "--old-version=1.4", *options).returncode == 2
