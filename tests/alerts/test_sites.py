"""Alerts about new hosts and changed policies of sites: reports of one network cause none."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import chain
from typing import Any

import pytest
from django.utils import timezone

from alerts.models import Alert
from alerts.sending import send_alerts
from csp.models import Group, IngestKey, SitePolicy, midnight
from csp.triage.changes import MAX_CHANGES, settle_policies
from csp.writing import writer
from kernel.http.asking import run
from kernel.http.steps.hosts import client_of
from tests.support.channels import documented_details, make_channel
from tests.support.csp.groups import make_group
from tests.support.csp.reports import entries, in_admin, legacy
from tests.support.servers.webhook_receiver import Receiver

SHOP = "https://shop.acme.test"
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
SEVERAL = ("192.0.2.1", "198.51.100.1", "2001:db8::1")
ONE_NETWORK = tuple(f"192.0.2.{number}" for number in range(50))
ONE_IPV6_NETWORK = tuple(f"2001:db8:0:{number:x}::1" for number in range(50))
PRIVATE = ("10.0.0.1", "10.0.0.2", "10.0.0.3")


@pytest.fixture
def shop(collecting: None) -> datetime:
    """Makes a site that has sent reports for a while. Returns noon of today (UTC).

    The hash of an address is another one on the next day.
    """
    now = midnight(timezone.now()) + 12 * HOUR
    IngestKey.objects.create(name="shop", value="cik_shop", origins=[SHOP])
    make_group(site=SHOP, created_at=now - 8 * DAY, first_seen=now - 8 * DAY, last_seen=now)
    make_group(site="https://portal.acme.test", created_at=now - 8 * DAY)
    return now


def report(*addresses: str, at: datetime, **members: Any) -> None:
    body = legacy(document_uri=f"{SHOP}/checkout", **members)
    found = (entries(body, address=client_of(address), now=at) for address in addresses)
    run(writer.write(list(chain.from_iterable(found))))


# --- New hosts --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("directive", "blocked", "severity"),
    [
        ("script-src-elem", "https://skim.example/a.js", "high"),
        ("form-action", "https://skim.example/", "high"),
        ("frame-src", "https://skim.example/", "medium"),
        ("connect-src", "wss://skim.example/", "medium"),
        ("img-src", "https://skim.example/a.png", ""),
        ("script-src-elem", "inline", ""),
        ("script-src", "eval", ""),
        ("connect-src", "data", ""),
    ],
)
def test_new_host_is_alerted_once(
    shop: datetime, receiver: Receiver, directive: str, blocked: str, severity: str
) -> None:
    make_channel(receiver.url, kinds=[], min_client_days=2)
    receiver.requests.clear()
    report(*SEVERAL, at=shop, effective_directive=directive, blocked_uri=blocked)
    for minutes in range(3):
        send_alerts(shop + timedelta(minutes=minutes))
    found = [body for body in receiver.bodies if body["type"] == "csp_site.new_host"]
    assert [body["data"]["severity"] for body in found] == ([severity] if severity else [])
    # The group is alerted either for its host, or as a new group.
    assert len(found) + receiver.types.count("csp_group.new") == 1
    for body in found:
        assert "skim.example on shop.acme.test (3 clients" in body["data"]["subject"]
        page = body["data"]["links"][0]["url"].partition("/admin/")[2]
        assert "alert: new host" in in_admin("auditor").get(f"/admin/{page}").text


@pytest.mark.parametrize(
    ("addresses", "expected"),
    [
        (SEVERAL, 1),
        (PRIVATE, 1),
        (SEVERAL[:2], 0),
        (ONE_NETWORK, 0),
        (ONE_IPV6_NETWORK, 0),
    ],
)
def test_new_host_needs_several_networks(
    shop: datetime, receiver: Receiver, addresses: tuple[str, ...], expected: int
) -> None:
    make_channel(receiver.url, kinds=["csp_site.new_host"])
    report(*addresses, *addresses, at=shop)
    assert send_alerts(shop) == expected


def test_networks_around_midnight_are_no_more_networks(shop: datetime, receiver: Receiver) -> None:
    make_channel(receiver.url, kinds=["csp_site.new_host"])
    after_midnight = midnight(shop) + DAY + HOUR
    for at in (after_midnight - 2 * HOUR, after_midnight):
        report(*SEVERAL[:2], at=at)
    assert Group.objects.filter(site=SHOP, client_days=4).exists()
    assert send_alerts(after_midnight) == 0
    report(SEVERAL[2], at=after_midnight)
    assert send_alerts(after_midnight) == 1


def test_host_of_another_use_or_of_a_young_site_is_not_new(
    shop: datetime, receiver: Receiver
) -> None:
    make_channel(receiver.url, kinds=["csp_site.new_host"])
    other = {"directive": "connect-src", "blocked_source": "cdn.example.net"}
    make_group(site=SHOP, **other, created_at=shop - DAY)
    report(*SEVERAL, at=shop)
    assert send_alerts(shop) == 0
    Group.objects.filter(directive="connect-src").update(directive="img-src")
    before = list(Group.objects.values_list("pk", "created_at"))
    Group.objects.update(created_at=shop - 6 * DAY)
    assert send_alerts(shop) == 0
    for pk, created_at in before:
        Group.objects.filter(pk=pk).update(created_at=created_at)
    assert send_alerts(shop) == 1


# --- Changed policies -------------------------------------------------------------------------

OLD = "default-src 'self'; script-src 'self' 'nonce-{n}'; report-uri /r"
NEW = "default-src 'self'; script-src 'self' 'nonce-{n}' https://cdn.example.net; report-uri /r"
# Firefox writes the same policy in another form.
NEW_OF_FIREFOX = "script-src https://cdn.example.net 'nonce-{n}' 'self'; default-src 'self'"


def settle(*addresses: str, at: datetime, policy: str = OLD, disposition: str = "report") -> int:
    """Makes reports over two hours before `at`, and runs the job."""
    for number, hours in enumerate((2, 0)):
        text = policy.replace("{n}", f"abc{number}")
        when = at - hours * HOUR
        report(*addresses, at=when, original_policy=text, disposition=disposition)
    return settle_policies(at)


def test_changed_policy_is_alerted_once(shop: datetime, receiver: Receiver) -> None:
    make_channel(receiver.url, kinds=["csp_site.policy_changed"])
    assert settle(*SEVERAL, at=shop) == 1
    assert send_alerts(shop) == 0
    at = shop + 11 * HOUR
    # A page of one site is open in two browsers.
    report(*SEVERAL[:2], at=at - 2 * HOUR, original_policy=NEW, disposition="report")
    report(SEVERAL[2], at=at, original_policy=NEW_OF_FIREFOX, disposition="report")
    assert [settle_policies(at), settle_policies(at)] == [1, 0]
    assert [send_alerts(at), send_alerts(at + HOUR)] == [1, 0]
    [body] = receiver.bodies
    assert receiver.titles == ["policy: script-src of shop.acme.test changed"]
    assert (body["data"]["severity"], body["data"]["site"]) == ("medium", SHOP)
    assert "Added: script-src 'nonce-*' 'self' https://cdn.example.net" in body["data"]["text"]
    assert "Removed: script-src 'nonce-*' 'self'\n" in body["data"]["text"]
    assert [*body["data"]["details"]] == documented_details("csp_site.policy_changed")
    [link] = body["data"]["links"]
    page = link["url"].partition("/admin/")[2]
    assert "Policy of https://shop.acme.test" in in_admin("auditor").get(f"/admin/{page}").text
    # Both policies are still in use.
    assert settle(*SEVERAL, at=at + HOUR) == 0


def test_changed_disposition_is_alerted(shop: datetime, receiver: Receiver) -> None:
    make_channel(receiver.url, kinds=["csp_site.policy_changed"])
    settle(*SEVERAL, at=shop)
    at = shop + 3 * HOUR
    settle(*SEVERAL, at=at, disposition="enforce")
    assert send_alerts(at) == 1
    expected = "policy: shop.acme.test now has a policy with the disposition enforce"
    assert receiver.titles == [expected]


def test_policy_that_returns_after_a_day_is_alerted_again(
    shop: datetime, receiver: Receiver
) -> None:
    make_channel(receiver.url, kinds=["csp_site.policy_changed"])
    steps = ((0, OLD), (1, NEW), (3, NEW), (4, OLD), (9, OLD))
    changes = [settle(*SEVERAL, at=shop + day * DAY, policy=policy) for day, policy in steps]
    assert changes == [1, 1, 0, 1, 0]


@pytest.mark.parametrize("addresses", [SEVERAL[:2], ONE_NETWORK, ONE_IPV6_NETWORK])
def test_policy_that_one_network_reports_is_not_settled(
    shop: datetime, addresses: tuple[str, ...]
) -> None:
    settle(*SEVERAL, at=shop)
    forms = (NEW, NEW_OF_FIREFOX, NEW.upper())
    changes = [settle(*addresses, at=shop + HOUR, policy=form) for form in forms]
    assert changes == [0, 0, 0]


def test_policy_of_two_networks_around_midnight_is_not_settled(shop: datetime) -> None:
    settle(*SEVERAL, at=shop)
    after_midnight = midnight(shop) + DAY + HOUR
    assert settle(*SEVERAL[:2], at=after_midnight, policy=NEW) == 0
    assert settle(*SEVERAL, at=after_midnight, policy=NEW) == 1


def test_policy_that_few_networks_report_is_not_settled(shop: datetime) -> None:
    many = [f"203.0.{number}.1" for number in range(13)]
    settle(*many, at=shop)
    assert settle(*SEVERAL, at=shop + HOUR, policy=NEW) == 0
    assert settle(*SEVERAL, many[0], at=shop + 2 * HOUR, policy=NEW) == 1


def test_policy_must_last_for_an_hour(shop: datetime) -> None:
    settle(*SEVERAL, at=shop)
    report(*SEVERAL, at=shop + HOUR, original_policy=NEW)
    assert settle_policies(shop + HOUR) == 0


def test_invented_policies_are_few_changes(shop: datetime) -> None:
    settle(*SEVERAL, at=shop)
    at = shop + DAY + HOUR
    for number in range(2 * MAX_CHANGES):
        settle(*SEVERAL, at=at, policy=f"img-src https://{number}.example")
    assert SitePolicy.objects.count() == 1 + MAX_CHANGES


def test_policies_are_kept_without_a_retention(shop: datetime, settings: Any) -> None:
    settings.CSP_RETENTION = timedelta(0)
    settle(*SEVERAL, at=shop)
    assert settle_policies(shop + 2 * DAY) == 0
    assert SitePolicy.objects.count() == 1


def test_alert_about_an_expired_policy_is_dropped(shop: datetime, receiver: Receiver) -> None:
    make_channel(receiver.url, kinds=["csp_site.policy_changed"], hourly_limit=1)
    settle(*SEVERAL, at=shop)
    settle(*SEVERAL, at=shop + HOUR, policy=NEW)
    receiver.status = 500
    send_alerts(shop + HOUR)
    SitePolicy.objects.all().delete()
    assert send_alerts(shop + 2 * HOUR) == 0
    assert Alert.objects.get().status == "dropped"
