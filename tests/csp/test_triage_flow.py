"""Group by group: the order, the user who takes care of a group, its activity, and the keys."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest
from django.urls import reverse

from alerts.models import Alert, Channel
from csp.models import Group
from csp.triage.decisions import Decision, decide
from csp.triage.selectors import groups_at, neighbors
from tests.alerts.conftest import ACTOR
from tests.csp.test_triage import DAY, NOW, make_group, patch
from tests.support.client import APIClient, browser_of
from tests.support.csp_reports import in_admin
from tests.support.factories import make_user
from tests.support.markup import text_in

pytestmark = pytest.mark.django_db
LIST = "/admin/csp/group/"


def page(group: Group) -> str:
    return reverse("admin:csp_group_change", args=[group.pk])


def states() -> list[str]:
    return list(Group.objects.order_by("-client_days").values_list("state", flat=True))


def test_neighbors_are_in_the_order_of_the_front_page() -> None:
    regressed = make_group(client_days=1, state="resolved", state_at=NOW - 2 * DAY)
    many, few = make_group(client_days=9), make_group(client_days=3)
    done = make_group(client_days=5, state="acknowledged")
    found = {each.pk: neighbors(each, now=NOW) for each in groups_at(NOW)}
    assert found == {
        regressed.pk: (None, many.pk),
        many.pk: (regressed.pk, few.pk),
        few.pk: (many.pk, None),
        done.pk: (many.pk, few.pk),
    }


def test_decision_opens_the_next_group() -> None:
    client, groups = in_admin("owner"), [make_group(client_days=days) for days in (9, 5, 3)]
    for group, following in pairwise(groups):
        body = {"state": "ignored", "go_on": "1"}
        assert client.post(f"{LIST}{group.pk}/decide/", body).headers["Location"] == page(following)
    last = client.post(f"{LIST}{groups[2].pk}/decide/", {"state": "resolved", "go_on": "1"})
    assert last.headers["Location"] == "/admin/csp/"
    assert states() == ["ignored", "ignored", "resolved"]
    shown = client.get("/admin/csp/").text
    for group, state in zip(groups, ("ignored", "ignored", "resolved"), strict=True):
        assert re.search(
            rf'Saved the decision: <a href="{page(group)}">[^<]+</a> is {state}\.', shown
        )


def test_note_about_a_regressed_group_leaves_it_regressed() -> None:
    group = make_group(state="resolved", state_at=NOW - 2 * DAY)
    body = {"state": "", "note": "Known."}
    shown = in_admin("owner").post(f"{LIST}{group.pk}/decide/", body, follow=True).text
    assert "</a> is regressed." in shown


def test_link_of_an_alert_fills_the_form_and_changes_nothing() -> None:
    group = make_group()
    shown = in_admin("owner").get(page(group), {"state": "ignored"}).text
    assert '<option value="ignored" selected>' in shown
    assert states() == ["new"]


def test_group_is_assigned_in_the_admin_and_found() -> None:
    client, group = browser_of(make_user("owner", username="ada")), make_group()
    make_group()
    client.post(f"{LIST}{group.pk}/decide/", {"assigned_to": "ada"})
    for chosen, number in (("me", 1), ("somebody", 1), ("none", 1), ("", 2)):
        listed = client.get(LIST, {"assigned": chosen}).context["cl"].result_count
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
    path = f"/api/v2/csp/groups/{group.pk}"
    answer = patch(owner, path, {"assigned_to": auditor.username})
    assert answer.json()["assigned_to"] == auditor.username
    for name, number in ((auditor.username, 1), ("me", 0)):
        listed = owner.get("/api/v2/csp/groups", {"assigned_to": name}).json()["groups"]
        assert len(listed) == number
    for wrong in (make_user().username, "nobody", make_user("owner", status="suspended").username):
        answer = patch(owner, path, {"assigned_to": wrong})
        assert answer.status_code == 400
        assert answer.json()["validations"][0]["field"] == "assigned_to"


def test_activity_shows_decisions_alerts_and_reports() -> None:
    group, channel = make_group(), Channel.objects.create(name="security", form="webhook")
    delivery = channel.deliveries.create(created_at=NOW, due_at=NOW, sent_at=NOW, status="sent")
    Alert.objects.create(
        channel=channel,
        kind="csp_group.new",
        key=str(group.pk),
        since=NOW,
        severity=2,
        what="x",
        status="sent",
        created_at=NOW,
        delivery=delivery,
    )
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


def test_rows_come_before_filters() -> None:
    make_group()
    shown = in_admin("owner").get(LIST).text
    assert 0 < shown.index('id="result_list"') < shown.index('id="changelist-filter"')
