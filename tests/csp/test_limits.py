"""Limits on the reports and groups that one caller can store."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db.models import Sum

from csp.models import Group, GroupHour, LimitUse, Report
from csp.writing.group_limit import Limits
from csp.writing.store import Store
from kernel.http.steps.hosts import client_of
from kernel.http.steps.rate_limit import limit_of
from tests.support.api.client import APIClient
from tests.support.csp.reports import entries, legacy, modern, send

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("collecting")]


def of_hosts(*hosts: str, directive: str = "script-src-elem") -> list[dict[str, Any]]:
    """An array with one report of each host."""
    urls = [f"https://{host}.example.net/" for host in hosts]
    return [modern(blockedURL=url, effectiveDirective=directive) for url in urls]


def blocked() -> dict[str, int]:
    return dict(Group.objects.values_list("blocked_source", "reports"))


def test_rate_limit_counts_reports(settings: Any, member: APIClient, owner: APIClient) -> None:
    """Those of other types, too."""
    settings.CSP_RATE_LIMIT = 150
    array = [modern(), {"type": "deprecation", "body": {"id": "x"}}] * 50
    # Every second request is over the limit, even if the minute turns between two of them.
    answers = [send(member, array) for _ in range(4)]
    refused = next(answer for answer in answers if answer.status_code == 429)
    assert refused.json()["detail"] == "The limit is 150 reports a minute."
    assert refused["X-RateLimit-Remaining"] == "0"
    assert 0 < int(refused["Retry-After"]) <= 60
    # A refused request is refused as a whole.
    stored = sum(answer.status_code == 200 for answer in answers)
    assert Group.objects.aggregate(n=Sum("reports"))["n"] == 50 * stored
    assert send(owner, array).status_code == 200


def test_rate_limit_counts_large_bodies_as_several_reports(settings: Any, owner: APIClient) -> None:
    settings.CSP_RATE_LIMIT = 5
    large, bypass = [modern(sample="x" * 12 * 1024)], {"X-Coder-Bypass-Ratelimit": "true"}
    assert send(owner, large).status_code == 429
    assert send(owner, large, headers=bypass).status_code == 200


def test_reports_beyond_the_new_groups_of_a_caller_are_other(
    member: APIClient, owner: APIClient
) -> None:
    for start in range(2, Limits().caller, 83):
        send(member, of_hosts(*map(str, range(start, start + 83))))
    assert send(member, of_hosts("a", "b", "c", "d")).status_code == 200
    found = blocked()
    assert len(found) == Limits().caller + 1
    assert (found["a.example.net"], found["b.example.net"], found["other"]) == (1, 1, 2)
    other = Group.objects.get(blocked_source="other")
    assert other.directive == "script-src"
    assert (other.pages, other.client_days) == (1, 1)
    # Each report keeps its own texts.
    assert other.stored_reports.filter(blocked_uri="https://c.example.net/").exists()
    # Existing groups still count, and other callers open new ones.
    send(member, of_hosts("a", "e"))
    send(owner, of_hosts("c"))
    found = blocked()
    assert (found["a.example.net"], found["c.example.net"], found["other"]) == (2, 1, 3)
    number = Limits().caller + 5
    assert GroupHour.objects.aggregate(n=Sum("reports"))["n"] == Report.objects.count() == number


# --- With lower limits, at the store ----------------------------------------------------------


class Reporters:
    """Writes reports of clients to a store with these limits."""

    def __init__(self, **limits: int) -> None:
        self._store = Store(limits=Limits(**limits))

    def report(self, address: str, *hosts: str, directive: str = "script-src-elem") -> None:
        """Writes a report of each host. `address` is empty for an import."""
        client = client_of(address)
        more: Any = {"caller": f"ip:{client}", "share": limit_of(client, 1)} if address else {}
        found = []
        for host in hosts:
            body = legacy(blocked_uri=f"https://{host}.test/", effective_directive=directive)
            found += entries(body, address=address or "::1", **more)
        self._store.commit(found)


@contextmanager
def reporters(**limits: int) -> Iterator[Reporters]:
    found = Reporters(**limits)
    try:
        yield found
    finally:
        found._store.close()


def hosts() -> set[str]:
    """Returns the first labels of the hosts that have a group."""
    return {name.removesuffix(".test") for name in blocked()}


def test_made_up_directives_share_one_group() -> None:
    with reporters(caller=2) as each:
        each.report("192.0.2.1", "a", "b")
        for directive in ("x1-src", "x2-src", "img-src"):
            each.report("192.0.2.1", "a", directive=directive)
    others = Group.objects.filter(blocked_source="other").values_list("directive", "reports")
    assert dict(others) == {"": 2, "img-src": 1}


def test_each_client_has_a_limit_and_an_import_has_none() -> None:
    with reporters(caller=2) as each:
        each.report("203.0.113.1", "a", "b", "c")
        assert hosts() == {"a", "b", "other"}
        # An IPv6 /48 network is one client, and opens four times as many.
        for number in range(10):
            each.report(f"2001:db8:0:{number}::1", f"n{number}")
        assert hosts() == {"a", "b", *(f"n{number}" for number in range(8)), "other"}
        each.report("", "d", "e", "f")
    assert hosts() >= {"d", "e", "f"}


def test_processes_share_the_limit_of_an_hour() -> None:
    for names in (["a"], ["b", "c"]):
        with reporters(caller=2) as each:
            each.report("192.0.2.1", *names)
    assert hosts() == {"a", "b", "other"}
    LimitUse.objects.all().delete()
    with reporters(caller=2) as each:
        each.report("192.0.2.1", "c")
    assert "c" in hosts()


def test_only_clients_of_several_networks_open_a_group_above_the_limit_for_all() -> None:
    with reporters(caller=100, all=2) as one, reporters(caller=100, all=2) as other:
        one.report("198.51.100.1", "a", "b", "c")
        assert hosts() == {"a", "b", "other"}
        # Two networks: these addresses are in one /24 and in one /48 network.
        for each in ("192.0.2.1", "192.0.2.2", "2001:db8::1", "2001:db8:0:1::1"):
            one.report(each, "real")
        assert "real" not in hosts()
        # Another process knows them, too.
        other.report("203.0.113.1", "real")
        assert "real" in hosts()
        # With three networks, a cause may use half of these groups, and with nine three quarters.
        for number in range(9):
            other.report(f"10.0.{number}.1", "late")
            assert ("late" in hosts()) == (number >= 3)


def test_networks_cannot_hide_a_cause_that_more_networks_report() -> None:
    """26 /64 networks of each of six /48 networks report many invented causes."""
    with reporters(caller=80, all=800, noted=400) as each:
        for number in range(6 * 26):
            names = (f"x{(37 * number + n) % 2000}" for n in range(160))
            each.report(f"2001:db8:{number % 6}:{number}::1", *names)
        assert len(blocked()) > 800
        before = hosts()
        for number in range(40):
            each.report(f"10.0.{number}.1", "real")
        assert hosts() - before == {"real"}


def test_notes_of_a_network_and_of_all_are_limited() -> None:
    with reporters(caller=0, noted=2, noted_in_all=7) as each:
        for number in range(3):
            each.report(f"10.0.{number}.1", "a", "b", "c", "d")
        # Each of the three networks was noted for two causes.
        assert hosts() == {"a", "b", "other"}
        # One more note is left in this hour.
        for number in range(3, 6):
            each.report(f"10.0.{number}.1", "e")
        assert hosts() == {"a", "b", "other"}
