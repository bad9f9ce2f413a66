"""Limits on the reports and groups that one caller can store."""

from __future__ import annotations

from typing import Any

import pytest
from django.db.models import Sum

from csp.models import Group, HourCount, NewGroups, Report
from csp.writing import group_limit
from csp.writing.entries import Entry
from csp.writing.store import Store
from tests.support.client import APIClient
from tests.support.commands import run
from tests.support.csp_reports import PATH, as_bytes, entries, legacy, modern, send

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("collecting")]


def of_hosts(*hosts: str, directive: str = "script-src-elem") -> list[dict[str, Any]]:
    """An array with one report of each host."""
    return [
        modern(blockedURL=f"https://{host}.example.net/", effectiveDirective=directive)
        for host in hosts
    ]


def blocked() -> dict[str, int]:
    return dict(Group.objects.values_list("blocked", "count"))


@pytest.fixture
def two_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(group_limit, "MAX_NEW_GROUPS", 2)


def test_rate_limit_counts_reports(settings: Any, member: APIClient, owner: APIClient) -> None:
    settings.RATE_LIMITS_APART = {PATH: 150}
    array = [modern()] * 100
    # Every second request is over the limit, even if the minute turns between two of them.
    answers = [send(member, array) for _ in range(4)]
    refused = next(answer for answer in answers if answer.status_code == 429)
    assert refused.json()["detail"] == "The limit is 150 reports a minute."
    assert refused["X-RateLimit-Remaining"] == "0"
    assert 0 < int(refused["Retry-After"]) <= 60
    # A refused request is refused as a whole.
    stored = sum(answer.status_code == 200 for answer in answers)
    assert Group.objects.aggregate(n=Sum("count"))["n"] == 100 * stored
    assert send(owner, array).status_code == 200


def test_rate_limit_counts_large_bodies_as_several_reports(
    settings: Any, member: APIClient, owner: APIClient
) -> None:
    settings.RATE_LIMITS_APART = {PATH: 5}
    large = modern(sample="x" * 12 * 1024)
    assert send(member, [large]).status_code == 429
    assert send(owner, [modern()]).status_code == 200


def test_owner_can_bypass_the_rate_limit(settings: Any, owner: APIClient) -> None:
    settings.RATE_LIMITS_APART = {PATH: 2}
    bypass = {"X-Coder-Bypass-Ratelimit": "true"}
    assert send(owner, [modern()] * 9, headers=bypass).status_code == 200


@pytest.mark.usefixtures("two_groups")
def test_reports_beyond_the_new_groups_of_a_caller_are_other(
    member: APIClient, owner: APIClient
) -> None:
    assert send(member, of_hosts("a", "b", "c", "d")).status_code == 200
    assert blocked() == {"a.example.net": 1, "b.example.net": 1, "other": 2}
    other = Group.objects.get(blocked="other")
    assert other.directive == "script-src"
    assert (other.pages, other.client_days) == (1, 1)
    # Each report keeps its own texts.
    assert other.reports.filter(blocked_uri="https://c.example.net/").exists()
    # Existing groups still count, and other callers open new ones.
    send(member, of_hosts("a", "e"))
    send(owner, of_hosts("c"))
    assert blocked() == {"a.example.net": 2, "b.example.net": 1, "c.example.net": 1, "other": 3}
    assert HourCount.objects.aggregate(n=Sum("count"))["n"] == Report.objects.count() == 7


@pytest.mark.usefixtures("two_groups")
def test_made_up_directives_share_one_group(member: APIClient) -> None:
    send(member, of_hosts("a", "b"))
    for directive in ("x1-src", "x2-src", "img-src"):
        send(member, of_hosts("a", directive=directive))
    others = Group.objects.filter(blocked="other").values_list("directive", "count")
    assert dict(others) == {"": 2, "img-src": 1}


def post(client: APIClient, key: str, address: str, *hosts: str) -> None:
    answer = client.post_json(
        f"{PATH}?key={key}",
        as_bytes(of_hosts(*hosts)),
        HTTP_ORIGIN="https://coder.example.com",
        REMOTE_ADDR=address,
    )
    assert answer.status_code == 200


@pytest.fixture
def key(collecting: None) -> str:
    return run("create_ingest_key", "--origin", "https://coder.example.com").split()[0]


@pytest.mark.usefixtures("two_groups")
def test_visitor_with_an_ingest_key_does_not_use_up_the_groups_of_others(
    anonymous: APIClient, key: str
) -> None:
    post(anonymous, key, "203.0.113.1", "a", "b", "c", "d")
    assert blocked() == {"a.example.net": 1, "b.example.net": 1, "other": 2}
    # The second address is in the same /64 network as the first one.
    for address in ("2001:db8::1", "2001:db8::2"):
        post(anonymous, key, address, "c", address[-1], "x")
    assert blocked() == {
        "a.example.net": 1,
        "b.example.net": 1,
        "c.example.net": 2,
        "1.example.net": 1,
        "other": 5,
    }


def test_cause_that_several_clients_report_gets_a_group_above_the_limit_for_all(
    anonymous: APIClient, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group_limit, "MAX_NEW_GROUPS_IN_ALL", 2)
    post(anonymous, key, "203.0.113.1", "a", "b", "c", "d")
    assert blocked() == {"a.example.net": 1, "b.example.net": 1, "other": 2}
    for last in (2, 2, 3, 4):
        post(anonymous, key, f"203.0.113.{last}", "real")
    assert blocked()["real.example.net"] == 1
    # These groups have a limit, too.
    for last in range(5, 9):
        post(anonymous, key, f"203.0.113.{last}", "e", "f")
    assert set(blocked()) == {
        *(f"{host}.example.net" for host in ("a", "b", "real", "e")),
        "other",
    }


@pytest.mark.usefixtures("two_groups")
def test_processes_share_the_limit_of_an_hour() -> None:
    def write(*hosts: str) -> None:
        store = Store()
        store.commit([e for host in hosts for e in new(host)])
        store.close()

    def new(host: str) -> list[Entry]:
        return entries(legacy(blocked_uri=f"https://{host}.example.net/"), caller="ip:::1")

    write("a")
    write("b", "c")
    assert blocked() == {"a.example.net": 1, "b.example.net": 1, "other": 1}
    NewGroups.objects.all().delete()
    write("c")
    assert blocked()["c.example.net"] == 1


@pytest.mark.usefixtures("two_groups")
def test_group_of_one_caller_does_not_depend_on_another_in_the_same_batch() -> None:
    def of(caller: str, *hosts: str) -> list[Entry]:
        values = [legacy(blocked_uri=f"https://{host}.example.net/") for host in hosts]
        return [entry for value in values for entry in entries(value, caller=caller)]

    store = Store()
    store.commit([*of("ip:1", "a", "b", "c"), *of("ip:2", "c"), *of("", "d", "e", "f")])
    store.close()
    assert set(blocked()) == {f"{host}.example.net" for host in "abcdef"}
