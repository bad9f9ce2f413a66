"""States of violation groups, the API for them, and the pages of the admin."""

from __future__ import annotations

import json
import re
import uuid
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.core.management.base import CommandError
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from audit.models import Entry
from csp.models import Group, GroupHour, NoiseRule, Report, Version, whole_hour
from csp.triage.newest import MAX_POLICIES
from csp.triage.reading import READERS
from csp.triage.selectors import (
    attention_lists,
    groups_at,
    most_urgent,
    neighbors,
)
from csp.triage.states import CURRENT_STATES, in_state
from tests.support.api.client import APIClient
from tests.support.commands import run
from tests.support.csp.groups import DAY, GROUPS, NOW, make_group, patch, unsaved_group
from tests.support.csp.reports import in_admin, legacy, send
from users.models import User

pytestmark = pytest.mark.django_db

# --- States -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        ({"state": "new"}, "new"),
        ({"state": "acknowledged", "state_set_at": NOW - 2 * DAY}, "acknowledged"),
        ({"state": "resolved", "state_set_at": NOW - DAY}, "resolved"),
        ({"state": "resolved", "state_set_at": NOW - 2 * DAY}, "regressed"),
        ({"state": "ignored"}, "ignored"),
        ({"state": "ignored", "ignored_until": NOW + DAY}, "ignored"),
        ({"state": "ignored", "ignored_until": NOW}, "new"),
        ({"state": "ignored", "ignored_client_days": 6}, "ignored"),
        ({"state": "ignored", "ignored_client_days": 5}, "new"),
        ({"state": "ignored", "ignored_until": NOW + DAY, "ignored_client_days": 5}, "new"),
    ],
)
def test_current_state_is_derived(stored: dict[str, Any], expected: str) -> None:
    group = make_group(**stored)
    assert groups_at(NOW).get(pk=group.pk).current == expected
    found = [state for state in CURRENT_STATES if Group.objects.filter(in_state(NOW, state))]
    assert found == [expected]


# --- The API ----------------------------------------------------------------------------------


def test_report_makes_a_group_with_advice(collecting: None, owner: APIClient) -> None:
    """The API, the pages of the admin and the command show the same."""
    client, entry = in_admin("owner"), "script-src https://cdn.example.net"
    assert "No report has arrived yet" in client.get("/admin/csp/").text
    assert send(owner, legacy()).status_code == 200
    listed = owner.get(GROUPS).json()
    [group] = listed["groups"]
    assert (group["title"], listed["next"]) == ("Script from cdn.example.net", None)
    assert (group["state"], group["is_noise"], group["reports"]) == ("new", False, 1)
    answer = owner.get(f"{GROUPS}/{group['id']}")
    detail = answer.json()
    advice = (detail["advice"]["policy_entry"], detail["advice"]["risk_if_allowed"])
    assert advice == (entry, "high")
    assert (detail["advice"]["prevented_reports"], detail["advice"]["tested_reports"]) == (1, 1)
    assert detail["facets"]["disposition"] == [{"value": "enforce", "reports": 1}]
    unchanged = owner.get(f"{GROUPS}/{group['id']}", headers={"If-None-Match": answer["ETag"]})
    assert unchanged.status_code == 304

    page = client.get("/admin/csp/").text
    assert "Script from cdn.example.net" in page
    assert "Check it (risk: high)" in page
    shown = client.get(f"/admin/csp/group/{group['id']}/change/").text
    assert f'value="{entry}"' in shown
    assert "blocked it" in shown

    assert f"entry: {entry}" in run("list_csp_advice")
    row = json.loads(run("list_csp_advice", "--json", "--group", group["id"]))
    assert (row["policy_entry"], row["risk_if_allowed"]) == advice


def test_resolved_group_regresses_with_the_next_report(collecting: None, owner: APIClient) -> None:
    send(owner, legacy())
    [group] = owner.get(GROUPS).json()["groups"]
    changed = patch(owner, f"{GROUPS}/{group['id']}", {"state": "resolved", "note": "Fixed."})
    assert (changed.json()["state"], changed.json()["note"]) == ("resolved", "Fixed.")
    send(owner, legacy())
    assert owner.get(f"{GROUPS}/{group['id']}").json()["state"] == "regressed"
    assert owner.get(GROUPS, {"state": "regressed"}).json()["groups"][0]["id"] == group["id"]
    entry = Entry.objects.filter(action="csp.group.decide").get()
    assert (entry.target_id, entry.actor_name) == (group["id"], owner.user.username)
    assert entry.before == {"state": "new", "note": ""}
    assert entry.after == {"state": "resolved", "note": "Fixed."}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"state": "regressed"}, "state"),
        ({"state": "unknown" * 5_000}, "state"),
        ({"state": 5}, "state"),
        ({"note": "x" * 2_001}, "note"),
        ({"note": 5}, "note"),
        ({"state": "ignored", "ignored_until": "2020-01-01T00:00:00Z"}, "ignored_until"),
        ({"state": "ignored", "ignored_until": "soon"}, "ignored_until"),
        ({"state": "ignored", "ignored_client_days": 0}, "ignored_client_days"),
        ({"state": "resolved", "ignored_client_days": 5}, "ignored_client_days"),
    ],
)
def test_wrong_decision_is_rejected(owner: APIClient, body: dict[str, Any], field: str) -> None:
    group = make_group()
    answer = patch(owner, f"{GROUPS}/{group.pk}", body)
    assert answer.status_code == 400
    assert [problem["field"] for problem in answer.json()["validations"]] == [field]
    assert len(answer.content) < 500
    group.refresh_from_db()
    assert (group.state, group.note) == ("new", "")


def test_unknown_group_is_404_and_a_cursor_of_another_list_400(owner: APIClient) -> None:
    assert owner.get(f"{GROUPS}/{uuid.uuid4()}").status_code == 404
    assert patch(owner, f"{GROUPS}/{uuid.uuid4()}", {"state": "new"}).status_code == 404
    for _ in range(3):
        make_group(state="ignored")
    # An ignored group gets other limits.
    body = {"state": "ignored", "ignored_client_days": 9}
    changed = patch(owner, f"{GROUPS}/{make_group(state='ignored').pk}", body).json()
    assert (changed["state"], changed["ignored_client_days"]) == ("ignored", 9)
    after = owner.get(GROUPS, {"limit": 1}).json()["next"]
    assert owner.get(GROUPS, {"limit": 1, "after": after}).status_code == 200
    other = owner.get(GROUPS, {"limit": 1, "after": after, "directive": "img-src"})
    assert other.status_code == 400


def test_pages_follow_each_other_without_gaps(owner: APIClient) -> None:
    made = [make_group(client_days=n % 3, pages=n % 2, reports=n % 4 + 1) for n in range(25)]
    seen: list[str] = []
    after = ""
    while True:
        page = owner.get(f"{GROUPS}?limit=4&after={after}").json()
        seen += [group["id"] for group in page["groups"]]
        after = page["next"]
        if not after:
            break
    order = sorted(made, key=lambda g: (-g.client_days, -g.pages, -g.reports, str(g.pk)))
    assert seen == [str(group.pk) for group in order]


@pytest.mark.parametrize(
    ("parameters", "found"),
    [
        ({}, {"a", "b"}),
        ({"state": "resolved"}, {"b"}),
        ({"directive": "font-src"}, {"b"}),
        ({"blocked_source": "a"}, {"a"}),
        ({"include_noise": "true"}, {"a", "b", "c"}),
        ({"seen_since": "2026-05-03T18:00:00Z"}, {"b"}),
    ],
)
def test_groups_are_filtered(owner: APIClient, parameters: dict[str, str], found: set[str]) -> None:
    rule = NoiseRule.objects.create(name="c", target="host", pattern="c.test")
    make_group(blocked_source="a")
    resolved = {"state": "resolved", "state_set_at": NOW, "last_seen": NOW}
    make_group(blocked_source="b", directive="font-src", **resolved)
    make_group(blocked_source="c", noise_rule=rule)
    groups = owner.get(GROUPS, parameters).json()["groups"]
    assert {group["blocked_source"] for group in groups} == found


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("state", "x"), ("since", "x"), ("noise", "x"), ("limit", "101")),
        *[("after", cursor) for cursor in ("x", "e30=", "WyJhIl0=", "é", "a" * 5_000)],
    ],
)
def test_wrong_filter_is_rejected(owner: APIClient, name: str, value: str) -> None:
    answer = owner.get(GROUPS, {name: value})
    assert answer.status_code == 400
    assert answer.json()["validations"][0]["field"] == name


def test_summary_counts_groups_and_reports(owner: APIClient) -> None:
    now = timezone.now()
    group = make_group(first_seen=now, last_seen=now)
    make_group(state="resolved", state_set_at=NOW)
    GroupHour.objects.create(group=group, hour=whole_hour(now), reports=4)
    summary = owner.get("/api/coderapi/v1/csp/summary").json()
    states = dict.fromkeys(("acknowledged", "ignored", "regressed"), 0)
    assert summary["groups_by_state"] == {**states, "new": 1, "resolved": 1}
    assert (summary["new_groups"], summary["reports"], summary["noise_reports"]) == (1, 4, 0)
    assert summary["directives"] == [{"directive": "img-src", "reports": 4}]
    assert summary["sites"] == [{"site": "other", "open_groups": 1, "reports": 4}]


def test_numbers_of_a_summary_are_of_one_moment(transactional_db: None, owner: APIClient) -> None:
    now = timezone.now().replace(microsecond=0)
    hour = now.replace(minute=0, second=0)
    GroupHour.objects.create(group=make_group(last_seen=now), hour=hour, reports=4)
    # The period starts at the full hour, so both requests have the same numbers.
    first = owner.get("/api/coderapi/v1/csp/summary", {"since": hour.isoformat()}).json()
    GroupHour.objects.create(group=make_group(last_seen=now), hour=hour, reports=4)
    later = hour + timedelta(minutes=59)
    second = owner.get("/api/coderapi/v1/csp/summary", {"since": later.isoformat()}).json()
    assert first == second
    assert (first["groups_by_state"]["new"], first["reports"]) == (1, 4)
    assert datetime.fromisoformat(first["since"]) == hour
    assert now <= datetime.fromisoformat(first["as_of"]) <= timezone.now()


def report_of(address: str, owner: APIClient, **members: Any) -> None:
    assert send(owner, legacy(**members), REMOTE_ADDR=address).status_code == 200


def test_one_forged_report_does_not_change_the_advice(collecting: None, owner: APIClient) -> None:
    for last in range(5):
        report_of(f"203.0.113.{last}", owner)
    for forged in (
        {"original_policy": "script-src *"},
        {"original_policy": "script-src 'strict-dynamic'"},
        {"document_uri": "https://cdn.example.net/"},
        {"blocked_uri": "http://cdn.example.net/lib.js"},
        {"blocked_uri": "wss://cdn.example.net/lib.js"},
    ):
        report_of("203.0.113.9", owner, **forged)
        report_of("203.0.113.9", owner, **forged)
    group = Group.objects.get()
    advice = owner.get(f"{GROUPS}/{group.pk}").json()["advice"]
    assert advice["policy_entry"] == "script-src https://cdn.example.net"
    page = in_admin("owner").get(f"/admin/csp/group/{group.pk}/change/").text
    assert "<code>default-src</code> &#x27;none&#x27;" in page


def test_reports_with_many_sources_and_policies_are_tested_up_to_a_limit(
    collecting: None, owner: APIClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    hosts = " ".join(f"h{n}.example" for n in range(500))
    for number in range(3):
        report_of(f"203.0.113.{number}", owner, original_policy=f"script-src {hosts}")
    for number in range(45):
        report_of("203.0.113.9", owner, original_policy=f"script-src 'self' a{number}.example")
    stored = Report.objects.values_list("original_policy", flat=True)
    assert max(len(policy.split()) for policy in stored) == 65
    advice = owner.get(f"{GROUPS}/{Group.objects.get().pk}").json()["advice"]
    # The most frequent policy, and the newest ones of the others.
    assert advice["prevented_reports"] == advice["tested_reports"] == 3 + MAX_POLICIES


def test_details_are_read_by_one_request_at_a_time_and_kept(
    collecting: None, owner: APIClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    send(owner, legacy())
    path = f"{GROUPS}/{Group.objects.get().pk}"
    with READERS.hold():
        monkeypatch.setattr(READERS, "timeout", 0.0)
        assert owner.get(path).status_code == 503
    first = owner.get(path).json()
    send(owner, legacy())
    second = owner.get(path).json()
    assert (first["reports"], second["reports"]) == (1, 2)
    assert first["advice"] == second["advice"]
    # An acknowledged source is confirmed, so the advice changes at once.
    patch(owner, path, {"state": "acknowledged"})
    assert owner.get(path).json()["advice"]["risk_if_allowed"] == "medium"


def test_groups_that_need_attention_have_one_order() -> None:
    """The order of the front page and of neighbors: groups that came back are before new ones."""
    for number in (9, 1, 2, 2, 9):
        make_group(client_days=number)
        make_group(client_days=number, state="resolved", state_set_at=NOW - 2 * DAY)
        make_group(client_days=number, state="ignored", ignored_client_days=1)
    ordered = most_urgent(NOW, limit=99)
    places = [(each.current == "new", -each.client_days, each.pk) for each in ordered]
    assert places == sorted(places)
    assert len(ordered) == 15
    assert most_urgent(NOW, limit=9) == ordered[:9]
    assert str(ordered[0].pk) in in_admin("owner").get("/admin/csp/").text
    keys = [None, *(group.pk for group in ordered), None]
    for place, group in enumerate(ordered):
        assert neighbors(group, attention_lists(NOW)) == (keys[place], keys[place + 2])
    # A group that needs no attention has the place of its number among the new ones.
    make_group(client_days=5, state="acknowledged")
    done = groups_at(NOW).get(client_days=5)
    place = sum(each.current == "regressed" or each.client_days > 5 for each in ordered)
    assert neighbors(done, attention_lists(NOW)) == (keys[place], keys[place + 1])


# --- The admin --------------------------------------------------------------------------------


def test_noise_is_hidden_and_its_page_names_the_rule_and_a_policy_that_only_reports(
    collecting: None, owner: APIClient
) -> None:
    noise = legacy(blocked_uri="moz-extension", disposition="report")
    assert send(owner, noise).status_code == 200
    client, group = in_admin("owner"), Group.objects.get()
    assert (group.reports, group.noise_reports, group.client_days) == (0, 1, 0)
    assert NoiseRule.objects.get(groups=group).pattern == "moz-extension"
    assert not Group.objects.visible().exists()
    detail = client.get(f"/admin/csp/group/{group.pk}/change/").text
    assert "So the group is hidden, and you can ignore it." in detail
    assert "browsers reported it, and did not block it" in detail
    assert "None (noise: extensions)" in client.get("/admin/csp/group/", {"noise": "only"}).text


def test_pages_of_triage_run_few_statements(
    collecting: None, owner: APIClient, django_assert_max_num_queries: Any
) -> None:
    send(owner, legacy())
    group, client = Group.objects.get(), in_admin("owner")
    for reader, path, most in (
        (client, "/admin/csp/", 19),
        (client, "/admin/csp/group/", 12),
        (client, f"/admin/csp/group/{group.pk}/change/", 17),
        (owner, f"{GROUPS}/{group.pk}", 4),
        (owner, "/api/coderapi/v1/csp/summary", 6),
    ):
        with django_assert_max_num_queries(most) as queries:
            assert reader.get(path).status_code == 200
        assert len(queries) > 1


def test_counts_of_filters_are_the_numbers_of_rows_that_they_show(
    transactional_db: None, django_assert_max_num_queries: Any
) -> None:
    client = in_admin("owner")
    user = User.objects.get()
    noise = NoiseRule.objects.create(name="x", target="host", pattern="x.test")
    groups: tuple[dict[str, Any], ...] = (
        {},
        {"state": "resolved", "state_set_at": NOW - 2 * DAY, "site": "https://one.test"},
        {"state": "ignored", "ignored_client_days": 1, "assigned_to": user},
        {"state": "ignored", "directive": "font-src"},
        {"directive": "", "oldest_version_rank": "2"},
        {"site": "https://one.test", "oldest_version_rank": "2"},
        {"site": "https://one.test", "oldest_version_rank": "3", "first_seen": NOW - 9 * DAY},
        {"noise_rule": noise},
    )
    for values in groups:
        make_group(**values)
    for site in ("other", "https://one.test"):
        for rank in "123":
            seen = {"first_seen": NOW - 5 * DAY, "last_seen": NOW}
            Version.objects.create(site=site, name=f"1.{rank}", rank=rank, **seen)
    with django_assert_max_num_queries(20):
        page = client.get("/admin/csp/group/", {"_facets": "True"})
    shown = [
        (choice["query_string"], re.search(r"\((\d+)\)$", str(choice["display"])))
        for spec in page.context["cl"].filter_specs
        for choice in spec.choices(page.context["cl"])
    ]
    counted = {query: int(found[1]) for query, found in shown if found}
    assert len(counted) >= 15
    assert {name[-3:]: n for name, n in counted.items() if "new_in" in name} == {"1.2": 2, "1.3": 0}
    for query, number in counted.items():
        assert len(client.get(f"/admin/csp/group/{query}").context["cl"].result_list) == number


def test_list_of_groups_joins_no_other_table(transactional_db: None) -> None:
    client = in_admin("owner")
    disabled = NoiseRule.objects.create(name="x", target="host", pattern="x.test", is_enabled=False)
    make_group(noise_rule=disabled, assigned_to=User.objects.get())
    with CaptureQueriesContext(connection) as queries:
        page = client.get("/admin/csp/group/", {"q": "img", "_facets": "True"}).text
    reading = [query["sql"] for query in queries if 'FROM "csp_group"' in query["sql"]]
    assert "img.example.net" in page
    assert len(reading) > 5
    assert not any("JOIN" in sql for sql in reading)


def test_list_shows_when_a_group_began_and_its_last_days(
    collecting: None, owner: APIClient, django_assert_max_num_queries: Any
) -> None:
    for host in ("one", "one", "two", "three"):
        send(owner, legacy(blocked_uri=f"https://{host}.example.net/"))
    long_ago = timezone.now() - timedelta(days=40)
    Group.objects.filter(blocked_source="one.example.net").update(first_seen=long_ago)
    client = in_admin("owner")
    with django_assert_max_num_queries(12) as queries:
        page = client.get("/admin/csp/group/").text
    assert sum("csp_grouphour" in query["sql"] for query in queries) == 1
    assert "40 days ago" in page
    drawn = re.findall(r"Reports per day: ([\d, ]+)", page)
    assert sorted(sum(map(int, days.split(","))) for days in drawn) == [1, 1, 2]


@pytest.mark.parametrize(
    ("page", "is_own"),
    [("/admin/tokens/apikey/", True), ("/account", True), ("/workspaces", False)],
)
def test_violation_on_our_own_page_is_marked(
    collecting: None, owner: APIClient, settings: Any, page: str, *, is_own: bool
) -> None:
    settings.ACCESS_URL = "https://coder.example.com"
    send(owner, legacy(document_uri=f"https://coder.example.com{page}"))
    [group] = Group.objects.all()
    detail = in_admin("owner").get(f"/admin/csp/group/{group.pk}/change/").text
    assert ("on a page of this service" in detail) is is_own


def test_decision_is_made_on_the_page_of_a_group() -> None:
    group, client = make_group(), in_admin("owner")
    path = f"/admin/csp/group/{group.pk}"
    client.post(f"{path}/decide/", {"state": "acknowledged", "note": "Known."})
    group.refresh_from_db()
    assert (group.state, group.note) == ("acknowledged", "Known.")
    client.post(f"{path}/decide/", {"state": "", "ignored_until": "2020-01-01"})
    client.post(f"{path}/decide/", {"state": "", "ignored_until": "2999-01-02 10:00"})
    client.post(f"{path}/decide/", {"state": "x" * 5_000})
    page = client.get(f"{path}/change/").text
    assert "Must be in the future" in page
    assert "Enter a valid date." in page
    assert "Choose a state from the list" in page
    assert "Known." in page
    group.refresh_from_db()
    assert group.state == "acknowledged"


def test_auditor_sees_a_group_but_decides_nothing() -> None:
    group, client = make_group(), in_admin("auditor")
    path = f"/admin/csp/group/{group.pk}"
    assert "Save the decision" not in client.get(f"{path}/change/").text
    assert client.post(f"{path}/decide/", {"state": "resolved"}).status_code == 403
    action = {"action": "resolve", "_selected_action": [str(group.pk)]}
    client.post("/admin/csp/group/", action)
    group.refresh_from_db()
    assert group.state == "new"


def test_actions_change_many_groups() -> None:
    groups, client = [make_group(), make_group()], in_admin("owner")
    chosen = {"_selected_action": [str(group.pk) for group in groups]}
    for action, state in (("ignore", "ignored"), ("reopen", "new"), ("resolve", "resolved")):
        client.post("/admin/csp/group/", {"action": action, **chosen})
        assert set(Group.objects.values_list("state", flat=True)) == {state}
    page = client.post("/admin/csp/group/", {"action": "resolve", **chosen}, follow=True).text
    assert "Changed groups: 0." in page


@pytest.mark.parametrize(
    ("state", "number"), [("", 1), ("open", 1), ("new", 1), ("regressed", 0), ("invented", 0)]
)
def test_list_is_filtered_by_state(state: str, number: int) -> None:
    make_group()
    page = in_admin("owner").get("/admin/csp/group/", {"state": state}).text
    assert page.count('class="field-badges') == number


def test_groups_that_grow_are_shown_with_the_time_of_their_numbers(transactional_db: None) -> None:
    now = timezone.now()
    group = make_group(first_seen=now - 10 * DAY, last_seen=now, state="acknowledged")
    GroupHour.objects.create(group=group, hour=now - DAY, reports=20)
    client = in_admin("owner")
    page = client.get("/admin/csp/").text
    assert "Growing this week" in page
    assert page.count("As of ") == 2
    # A hidden group is not listed any more, although the numbers are still cached.
    rule = NoiseRule.objects.create(name="x", target="host", pattern="x.test")
    Group.objects.update(noise_rule=rule)
    assert "Growing this week" not in client.get("/admin/csp/").text


def test_site_shows_its_groups_that_grow_beside_a_large_site(transactional_db: None) -> None:
    now = timezone.now()
    seen = {"first_seen": now - 10 * DAY, "last_seen": now, "state": "acknowledged"}
    large = [
        unsaved_group(site="large.test", blocked_source=f"{n}.test", **seen) for n in range(101)
    ]
    small = unsaved_group(site="small.test", blocked_source="small.example", **seen)
    Group.objects.bulk_create([*large, small])
    hour = now - DAY
    GroupHour.objects.bulk_create(GroupHour(group=each, hour=hour, reports=30) for each in large)
    GroupHour.objects.create(group=small, hour=hour, reports=20)
    page = in_admin("owner").get("/admin/csp/", {"site": "small.test"}).text
    assert "Growing this week" in page


# --- The command ------------------------------------------------------------------------------


@pytest.mark.parametrize("group", ["x", "0b2d7c51-6a3f-4c0e-9f57-2f8a4f6d1c22"])
def test_command_rejects_an_unknown_group(group: str) -> None:
    with pytest.raises(CommandError, match="No violation group has the id"):
        run("list_csp_advice", "--group", group)
