"""Group by group: the order, the user who takes care of a group, its activity, and the keys."""

from __future__ import annotations

import re
from html import unescape
from itertools import pairwise

import pytest
from django.urls import reverse
from django.utils import timezone

from alerts.models import Alert, Channel
from audit.models import Entry
from csp.models import Group, Rejection
from csp.triage.decisions import Decision, decide
from kernel import memory
from tests.support.api.client import APIClient, browser_of
from tests.support.browsers.admin_pages import make_rows
from tests.support.browsers.markup import text_in
from tests.support.channels import ACTOR
from tests.support.csp.groups import DAY, NOW, make_group, patch
from tests.support.csp.reports import in_admin
from tests.support.factories import make_user
from users.models import User

pytestmark = pytest.mark.django_db
LIST = "/admin/csp/group/"


def page(group: Group) -> str:
    return reverse("admin:csp_group_change", args=[group.pk])


def states() -> list[str]:
    return list(Group.objects.order_by("-client_days").values_list("state", flat=True))


def test_decision_opens_the_next_group() -> None:
    client, groups = in_admin("owner"), [make_group(client_days=days) for days in (9, 5, 3)]
    for group, following in pairwise(groups):
        body = {"state": "ignored", "go_on": "1"}
        assert client.post(f"{LIST}{group.pk}/decide/", body).headers["Location"] == page(following)
    last = client.post(f"{LIST}{groups[2].pk}/decide/", {"state": "resolved", "go_on": "1"})
    assert last.headers["Location"] == "/admin/csp/"
    assert states() == ["ignored", "ignored", "resolved"]
    shown = client.get("/admin/csp/").text
    outcomes = ("ignored for good", "ignored for good", "resolved")
    for group, state in zip(groups, outcomes, strict=True):
        saved = rf'Saved the decision: <a href="{page(group)}">[^<]+</a> is {state}\.'
        assert re.search(saved, shown)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"site": "b.test"}, [5, 3, 1]),
        ({"site": "b.test", "state": "new"}, [5, 1]),
        ({"site": "b.test", "o": "-1.4"}, [1, 3, 5]),
        ({"q": "font"}, [9, 1]),
        ({}, [9, 7, 5, 3, 1]),
    ],
)
def test_next_group_is_the_next_one_of_the_list(query: dict[str, str], expected: list[int]) -> None:
    """With the filters, the search and the order of the list. The keys use these links."""
    for days, site, more in (
        *((9, "a.test", {"directive": "font-src"}), (7, "a.test", {"state": "ignored"})),
        *((5, "b.test", {}), (3, "b.test", {"state": "acknowledged"})),
        (1, "b.test", {"directive": "font-src"}),
    ):
        make_group(client_days=days, site=site, **more)
    memory.clear_all()
    client, seen = in_admin("owner"), []
    link = re.search(r'<th class="field-cause[^>]*><a href="([^"]+)"', client.get(LIST, query).text)
    while link:
        shown = client.get(unescape(link[1]))
        seen.append(shown.context["original"].client_days)
        action = re.search(r'action="([^"]+/decide/[^"]*)"', shown.text)
        link = re.search(r'id="next-group" href="([^"]+)"', shown.text)
        # A decision opens the same group, also if the list does not contain this one any more.
        state = {3: "resolved", 7: "new"}.get(seen[-1], "acknowledged")
        body = {"state": state, "go_on": "1"}
        assert action
        following = client.post(unescape(action[1]), body).headers["Location"]
        if link:
            assert following == unescape(link[1])
    assert seen == expected
    assert following.startswith(f"{LIST}?")


def test_front_page_shows_each_group_once_and_leads_to_groups_of_its_site() -> None:
    groups = [make_group(client_days=9 - n, site=f"{'ab'[n % 2]}.test") for n in range(4)]
    groups.append(make_group(client_days=5, site="a.test", state="acknowledged"))
    memory.clear_all()
    client = in_admin("owner")
    shown = client.get("/admin/csp/").text
    assert [shown.count(page(group)) for group in groups] == [1] * 5
    assert "<h1>CSP reports</h1>" in shown
    shown = client.get("/admin/csp/", {"site": "a.test"}).text
    assert f'href="{page(groups[0])}?site=a.test"' in shown
    shown = client.get(page(groups[0]), {"site": "a.test"}).text
    assert f'id="next-group" href="{page(groups[2])}?site=a.test"' in shown


def test_decision_can_be_undone() -> None:
    client = in_admin("owner")
    group = make_group(state="resolved", state_set_at=NOW - 2 * DAY, note="Fixed.")
    kept = client.post(f"{LIST}{group.pk}/decide/", {"state": "", "note": "Known."}, follow=True)
    assert "is regressed." in text_in(kept)
    stored = Group.objects.values().get()
    body = {"ignored_until": "2099-01-31", "note": "An extension."}
    shown = client.post(f"{LIST}{group.pk}/decide/", body, follow=True).text
    assert "is ignored until 2099-01-31." in shown
    [token] = re.findall(r'form="undo" name="undo" value="([^"]+)"', shown)
    undone = client.post(f"{LIST}undo/", {"undo": token}, follow=True)
    assert "is regressed again" in text_in(undone)
    assert Group.objects.values().get() == stored
    # A decision that came later is not lost.
    again = client.post(f"{LIST}undo/", {"undo": token}, follow=True)
    assert "it has a newer decision" in text_in(again)
    assert "cannot be undone" in text_in(client.post(f"{LIST}undo/", {"undo": "x"}, follow=True))
    assert in_admin("auditor").post(f"{LIST}undo/", {"undo": token}).status_code == 403


def test_undo_does_not_assign_a_group_to_a_deleted_user() -> None:
    client, group = in_admin("owner"), make_group(assigned_to=make_user("owner", username="ada"))
    make_user("owner", username="grace")
    shown = client.post(f"{LIST}{group.pk}/decide/", {"assigned_to": "grace"}, follow=True).text
    [token] = re.findall(r'form="undo" name="undo" value="([^"]+)"', shown)
    User.objects.get(username="ada").delete()
    client.post(f"{LIST}undo/", {"undo": token}, follow=True)
    assert Group.objects.get().assigned_to is None
    entry = Entry.objects.get(action="csp.group.undo")
    assert (entry.before, entry.after) == (
        {"state": "new", "note": "", "assigned_to": "grace"},
        {"state": "new", "note": "", "assigned_to": ""},
    )


def test_group_is_assigned_in_the_admin_and_found() -> None:
    client, group = browser_of(make_user("owner", username="ada")), make_group()
    make_group()
    client.post(f"{LIST}{group.pk}/decide/", {"assigned_to": "ada"})
    for chosen, number in (("me", 1), ("somebody", 1), ("none", 1), ("", 2), ("invented", 0)):
        listed = client.get(LIST, {"assigned_to": chosen}).context["cl"].result_count
        assert listed == number, chosen
    # A form without the field keeps the user, and an empty value assigns the group to nobody.
    client.post(f"{LIST}{group.pk}/decide/", {"note": "x"})
    group.refresh_from_db()
    assert str(group.assigned_to) == "ada"
    client.post(f"{LIST}{group.pk}/decide/", {"assigned_to": ""})
    group.refresh_from_db()
    assert group.assigned_to is None


def test_group_is_assigned_by_the_api(owner: APIClient) -> None:
    group, auditor = make_group(), make_user("auditor")
    make_group()
    path = f"/api/coderapi/v1/csp/groups/{group.pk}"
    answer = patch(owner, path, {"assigned_to": auditor.username})
    assert answer.json()["assigned_to"] == auditor.username
    for name, number in ((auditor.username, 1), ("me", 0)):
        listed = owner.get("/api/coderapi/v1/csp/groups", {"assigned_to": name}).json()["groups"]
        assert len(listed) == number
    for wrong in (make_user().username, "nobody", make_user("owner", status="suspended").username):
        answer = patch(owner, path, {"assigned_to": wrong})
        assert answer.status_code == 400
        assert answer.json()["validations"][0]["field"] == "assigned_to"


def test_activity_shows_decisions_alerts_and_reports() -> None:
    group, channel = make_group(), Channel.objects.create(name="security", type="webhook")
    delivery = channel.deliveries.create(created_at=NOW, due_at=NOW, sent_at=NOW, status="sent")
    about = {"kind": "csp_group.new", "subject_key": str(group.pk), "title": "x", "severity": 2}
    sent = {"status": "sent", "occurred_at": NOW, "created_at": NOW, "delivery": delivery}
    Alert.objects.create(channel=channel, **about, **sent)
    decision = Decision(state="resolved", note="The entry is added.")
    decide([group.pk], decision, actor=ACTOR, now=NOW - 2 * DAY)
    shown = text_in(in_admin("auditor").get(page(group)))
    lines = [
        "2026-05-04 12:00 alert: new security",
        "2026-05-03 12:00 regressed: newest report",
        "2026-05-02 12:00 state: resolved; note: The entry is added. test",
        "2026-05-01 12:00 first report",
    ]
    places = [shown.index(line) for line in lines]
    assert places == sorted(places)


@pytest.mark.parametrize("model", ["group", "report", "noiserule", "rejection"])
def test_rows_come_before_filters(model: str) -> None:
    make_rows(make_user("owner", username="maker"), now=timezone.now())
    Rejection.objects.create(day=timezone.now(), reason="x", last_seen=timezone.now())
    memory.clear_all()
    shown = in_admin("owner").get(f"/admin/csp/{model}/").text
    if 'id="changelist-filter"' in shown:
        assert 0 < shown.index('id="changelist-form"') < shown.index('id="changelist-filter"')
    assert "Select " not in shown.partition("<h1>")[2].partition("</h1>")[0]


def test_page_of_a_group_has_one_name_and_a_form_that_the_link_of_an_alert_fills() -> None:
    group = make_group(blocked_source="img.test:8443", noise_rule=None)
    shown = in_admin("owner").get(page(group), {"state": "ignored"}).text
    assert "<h1>Image from img.test<wbr><span" in shown
    assert "Noise rule:" not in shown
    assert "per hour, last 7 days" in shown
    assert '<option value="ignored" selected>' in shown
    assert states() == ["new"]
