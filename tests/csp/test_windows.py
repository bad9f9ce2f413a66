"""The numbers of groups are those of a window of 30 days."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta

import pytest
from django.conf import LazySettings
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from csp import services
from csp.counting.windows import recount_groups
from csp.models import DistinctHash, Group, GroupHour, window, window_start
from csp.writing import writer
from csp.writing.distinct import EXACT
from csp.writing.store import Store
from kernel.http.asking import run
from tests.support.api.client import APIClient
from tests.support.csp.groups import GROUPS, NOW, make_group, patch
from tests.support.csp.reports import entries, legacy, send

DAY = timedelta(days=1)


def report(
    at: datetime, *, page: str = "/workspaces", address: str = "10.0.0.1", times: int = 1
) -> None:
    body = legacy(document_uri=f"https://coder.example.com{page}")
    run(writer.write(entries(body, address=address, times=times, now=at)))


def numbers() -> dict[str, int]:
    group = Group.objects.get()
    names = ("client_days", "pages", "reports", "noise_reports")
    return {name: getattr(group, name) for name in names}


def test_window_is_thirty_days_or_the_retention(settings: LazySettings) -> None:
    assert window(NOW) == {"since": datetime.fromisoformat("2026-04-05T00:00:00Z"), "days": 30}
    settings.CSP_RETENTION = 7 * DAY
    assert window(NOW) == {"since": datetime.fromisoformat("2026-04-27T00:00:00Z"), "days": 8}


def test_reports_leave_the_window_day_by_day(collecting: None) -> None:
    report(NOW - DAY, page="/old", address="10.0.0.2", times=3)
    report(NOW, page="/old")
    report(NOW, page="/new", address="10.0.0.3")
    assert numbers() == {"client_days": 3, "pages": 2, "reports": 5, "noise_reports": 0}
    assert recount_groups(NOW + 28 * DAY) == 1
    assert numbers() == {"client_days": 3, "pages": 2, "reports": 5, "noise_reports": 0}
    report(NOW + 29 * DAY, page="/new")
    # Until the job has run, the numbers contain one day more.
    assert numbers() == {"client_days": 4, "pages": 2, "reports": 6, "noise_reports": 0}
    assert (recount_groups(NOW + 29 * DAY), recount_groups(NOW + 29 * DAY)) == (1, 0)
    assert numbers() == {"client_days": 3, "pages": 2, "reports": 3, "noise_reports": 0}
    recount_groups(NOW + 30 * DAY)
    assert numbers() == {"client_days": 1, "pages": 1, "reports": 1, "noise_reports": 0}
    recount_groups(NOW + 90 * DAY)
    assert numbers() == {"client_days": 0, "pages": 0, "reports": 0, "noise_reports": 0}
    assert recount_groups(NOW + 91 * DAY) == 0
    assert not DistinctHash.objects.exists()
    report(NOW + 91 * DAY, page="/old")
    assert numbers() == {"client_days": 1, "pages": 1, "reports": 1, "noise_reports": 0}
    group = Group.objects.get()
    assert (group.first_seen, group.last_seen) == (NOW - DAY, NOW + 91 * DAY)


SENT = st.tuples(
    st.integers(0, 45),
    st.sampled_from(["/a", "/b", "/c"]),
    st.sampled_from(["10.0.0.1", "10.0.0.2", "10.0.0.3"]),
)


@given(st.lists(st.one_of(SENT, st.none()), min_size=1, max_size=15), st.integers(0, 60))
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_numbers_are_those_of_the_reports_of_the_window(
    collecting: None, sent: list[tuple[int, str, str] | None], last: int
) -> None:
    """Sends the reports in the order of time. None runs the job."""
    Group.objects.all().delete()
    days = iter(sorted(each[0] for each in sent if each))
    arrived, now = [], NOW
    for each in sent:
        if each is None:
            recount_groups(now)
            continue
        now = NOW + next(days) * DAY
        report(now, page=each[1], address=each[2])
        arrived.append((now, each[1], each[2]))
    recount_groups(max(now, NOW + last * DAY))
    start = window_start(max(now, NOW + last * DAY))
    inside = [each for each in arrived if each[0] >= start]
    for group in Group.objects.all():
        assert group.reports == len(inside)
        assert group.pages == len({page for _, page, _ in inside})
        assert group.client_days == len({(at.date(), client) for at, _, client in inside})


def test_estimated_pages_stay_close_when_the_window_moves(collecting: None) -> None:
    old, new = 2 * EXACT, 3 * EXACT
    for start, end, at in ((0, old, NOW), (old, old + new, NOW + 5 * DAY)):
        for first in range(start, end, 512):
            rows = [
                entry
                for page in range(first, min(first + 512, end))
                for entry in entries(
                    legacy(document_uri=f"https://coder.example.com/{page}"), now=at
                )
            ]
            run(writer.write(rows))
    recount_groups(NOW + 31 * DAY)
    group = Group.objects.get()
    assert group.reports == new
    assert abs(group.pages - new) < new / 6


def test_import_of_old_reports_counts_only_those_of_the_window(collecting: None) -> None:
    now, store = timezone.now(), Store()
    for age in (0, 10, 40):
        [entry] = entries(legacy(), now=now - age * DAY)
        store.commit([entry], mark=uuid.uuid4() if age else None)
    store.close()
    assert numbers() == {"client_days": 2, "pages": 1, "reports": 2, "noise_reports": 0}
    assert sum(GroupHour.objects.values_list("reports", flat=True)) == 3
    assert Group.objects.get().first_seen == now - 40 * DAY
    recount_groups(now + DAY)
    assert numbers() == {"client_days": 2, "pages": 1, "reports": 2, "noise_reports": 0}


def test_page_of_an_old_import_counts_again_when_it_is_reported(collecting: None) -> None:
    now, store = timezone.now(), Store()
    for age, mark in ((60, uuid.uuid4()), (0, None)):
        store.commit([entries(legacy(), now=now - age * DAY)[0]], mark=mark)
    store.close()
    assert numbers() == {"client_days": 1, "pages": 1, "reports": 1, "noise_reports": 0}
    recount_groups(now + DAY)
    assert numbers() == {"client_days": 1, "pages": 1, "reports": 1, "noise_reports": 0}


@pytest.mark.django_db
def test_answers_tell_the_window_once(owner: APIClient) -> None:
    group = make_group()
    listed = owner.get(GROUPS).json()
    assert listed["window"]["days"] == 30
    assert datetime.fromisoformat(listed["window"]["since"]) == window_start(timezone.now())
    assert "window" not in listed["groups"][0]
    page = f"{GROUPS}/{group.pk}"
    assert owner.get(page).json()["window"] == listed["window"]
    assert patch(owner, page, {"note": "x"}).json()["window"] == listed["window"]


def test_old_group_does_not_stay_first(collecting: None, owner: APIClient) -> None:
    now = timezone.now()
    make_group(blocked_source="old.example", client_days=500, last_seen=now - 40 * DAY)
    send(owner, legacy())
    recount_groups(now)
    found = [group["blocked_source"] for group in owner.get(GROUPS).json()["groups"]]
    assert found == ["cdn.example.net", "old.example"]


def test_ignored_group_counts_from_the_moment_when_it_was_ignored(
    collecting: None, owner: APIClient
) -> None:
    for last in range(4):
        send(owner, legacy(), REMOTE_ADDR=f"203.0.113.{last}")
    page = f"{GROUPS}/{Group.objects.get().pk}"
    body = {"state": "ignored", "ignored_client_days": 2}
    for _ in range(2):  # Repeating it does not begin again.
        assert patch(owner, page, body).json()["ignored_client_days"] == 2
        send(owner, legacy(), REMOTE_ADDR="203.0.113.1")
        assert owner.get(page).json()["state"] == "ignored"
    send(owner, legacy(), REMOTE_ADDR="203.0.113.8")
    patch(owner, page, body)
    assert owner.get(page).json()["state"] == "ignored"
    send(owner, legacy(), REMOTE_ADDR="203.0.113.9")
    assert owner.get(page).json()["state"] == "new"
    # The window has no part in it.
    recount_groups(timezone.now() + 60 * DAY)
    assert owner.get(page).json()["state"] == "new"


def test_retention_below_the_window_shortens_it(collecting: None, settings: LazySettings) -> None:
    settings.CSP_RETENTION = 3 * DAY
    report(NOW)
    report(NOW + 2 * DAY)
    services.prune_reports(NOW + 4 * DAY)
    recount_groups(NOW + 4 * DAY)
    assert numbers() == {"client_days": 1, "pages": 1, "reports": 1, "noise_reports": 0}
