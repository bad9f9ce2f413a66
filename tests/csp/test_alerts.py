"""Alerts: when they are due, how they are sent, and what the receiver gets."""

from __future__ import annotations

import hashlib
import hmac
import json
import threading
from collections.abc import Iterator
from datetime import time, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from django.core import mail
from django.core.management.base import CommandError
from django.db import connection
from django.utils import timezone

from audit.models import Entry
from audit.services import Actor
from csp.alerts import channels, deliveries, events, messages
from csp.alerts.deliveries import BACKOFF, alert
from csp.alerts.events import is_quiet
from csp.models import AlertChannel, AlertDelivery, Group
from csp.triage.decisions import Decision, decide
from jobs.registry import find
from tests.csp.test_triage import NOW, make_group
from tests.support.commands import run, write_lines
from tests.support.csp_reports import in_admin, legacy
from tests.support.local_server import answering

pytestmark = pytest.mark.django_db
ACTOR = Actor(name="test")
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)


class Receiver(ThreadingHTTPServer):
    """A server that records the requests, and answers with `status`."""

    status = 200

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answer_after: threading.Event | None = None
        self.requests: list[tuple[dict[str, str], bytes]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/hook?token=planted"


class Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.server.answer_after:
            assert self.server.answer_after.wait(8)
        self.server.requests.append((dict(self.headers), body))
        self.send_response(self.server.status)
        self.send_header("Location", "http://192.0.2.1/")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Keeps the test output clean."""


@pytest.fixture
def receiver(settings: Any) -> Iterator[Receiver]:
    settings.OUTGOING_NETWORKS = ["127.0.0.1/32"]
    with answering(Receiver()) as server:
        yield server


def make_channel(address: str, **values: Any) -> AlertChannel:
    channel = AlertChannel(
        **{"name": "security", "kind": "webhook", "address": address, "enabled": True, **values}
    )
    channels.save_channel(channel, actor=ACTOR, now=NOW)
    return channel


def received(receiver: Receiver) -> list[str]:
    return [json.loads(body)["event"] for _, body in receiver.requests]


def test_alert_is_sent_once_when_a_group_reaches_its_number_of_clients(receiver: Receiver) -> None:
    make_channel(receiver.url, min_reach=10)
    group = make_group(client_days=9)
    assert alert(NOW) == 0
    Group.objects.update(client_days=10)
    assert alert(NOW + MINUTE) == 1
    assert alert(NOW + 2 * MINUTE) == 0
    [(headers, body)] = receiver.requests
    sent = json.loads(body)
    assert list(sent) == ["event", "delivery", "title", "cause", "url", "group"]
    assert (sent["event"], sent["group"]["id"]) == ("csp_group.new", str(group.pk))
    assert sent["url"].endswith(f"/admin/csp/group/{group.pk}/change/")
    assert headers["X-Coderapi-Delivery"] == sent["delivery"]


def test_regression_is_alerted_each_time(receiver: Receiver) -> None:
    make_channel(receiver.url)
    group = make_group(client_days=1)
    for day in (1, 2):
        now = NOW + timedelta(days=day)
        decide([group.pk], Decision(state="resolved"), actor=ACTOR, now=now)
        assert alert(now + MINUTE) == 0
        Group.objects.update(last_seen=now + HOUR)
        assert alert(now + 2 * HOUR) == 1
        assert alert(now + 3 * HOUR) == 0
    assert received(receiver) == ["csp_group.regressed"] * 2


@pytest.mark.parametrize(
    "state", [{"state": "acknowledged"}, {"state": "ignored"}, {"state": "resolved"}]
)
def test_group_that_was_looked_at_is_not_alerted(receiver: Receiver, state: Any) -> None:
    make_channel(receiver.url, min_reach=1)
    make_group(**state, state_at=NOW)
    assert alert(NOW) == 0


def test_groups_from_before_the_channel_are_not_alerted(receiver: Receiver) -> None:
    make_group(client_days=100)
    make_channel(receiver.url)
    assert alert(NOW) == 0
    make_group(client_days=100)
    assert alert(NOW) == 1


def test_disabled_channel_gets_nothing(receiver: Receiver) -> None:
    assert find("csp_alerts").enabled() is False
    make_channel(receiver.url, enabled=False)
    make_group(client_days=100)
    assert alert(NOW) == 0
    assert find("csp_alerts").enabled() is False


def test_groups_with_the_most_clients_come_first_and_one_message_counts_the_others(
    receiver: Receiver,
) -> None:
    make_channel(receiver.url, hourly_limit=2)
    for clients in (100, 20, 300, 50, 200):
        make_group(client_days=clients)
    assert alert(NOW) == 3
    sent = [json.loads(body) for _, body in receiver.requests]
    assert [each["group"].get("client_days") for each in sent] == [300, 200, None]
    assert (sent[2]["event"], sent[2]["cause"]) == ("csp_group.summary", "3 more groups")
    assert sent[2]["url"].endswith("/admin/csp/group/?state=open")
    # Later groups wait for the next hour. Summarized groups are not sent again.
    make_group(client_days=10)
    assert [alert(NOW + minutes * MINUTE) for minutes in (1, 59, 61, 200)] == [0, 0, 1, 0]
    assert json.loads(receiver.requests[-1][1])["group"]["client_days"] == 10


def test_import_of_older_reports_repeats_no_alert(
    receiver: Receiver, collecting: None, tmp_path: Path
) -> None:
    now = timezone.now()
    make_channel(receiver.url, min_reach=1)
    for index, days in enumerate((1, 20)):
        at = (now - timedelta(days=days)).isoformat()
        file = write_lines(tmp_path / f"{index}.jsonl", {"received_at": at, **legacy()})
        run("import_csp_reports", file)
        assert alert(now + index * HOUR) == 1 - index
    assert Group.objects.get().first_seen < now - timedelta(days=19)


def test_ignored_group_that_reaches_its_limit_is_alerted(receiver: Receiver) -> None:
    make_channel(receiver.url)
    group = make_group(client_days=20)
    assert alert(NOW) == 1
    for day in (1, 2):
        now = NOW + timedelta(days=day)
        reach = 20 * (day + 1)
        decision = Decision(state="ignored", ignored_reach=reach)
        decide([group.pk], decision, actor=ACTOR, now=now)
        assert alert(now + MINUTE) == 0
        Group.objects.update(client_days=reach)
        assert (alert(now + HOUR), alert(now + 2 * HOUR)) == (1, 0)
    assert received(receiver) == ["csp_group.new", *["csp_group.limit_reached"] * 2]


@pytest.mark.parametrize("state", ["new", "acknowledged"])
def test_group_for_other_causes_is_alerted_when_it_grows(receiver: Receiver, state: str) -> None:
    group = make_group(blocked="other", client_days=100, state=state, state_at=NOW)
    make_channel(receiver.url, min_reach=10)
    steps = []
    for clients in (109, 110, 119, 120, 140):
        Group.objects.update(client_days=clients)
        steps.append(alert(NOW + (clients - 100) * HOUR))
    assert steps == [0, 1, 0, 1, 1]
    assert set(received(receiver)) == {"csp_group.growing"}
    # Once an hour at most, and not if the group is settled.
    Group.objects.update(client_days=200)
    assert alert(NOW + 40 * HOUR + MINUTE) == 0
    decide([group.pk], Decision(state="ignored"), actor=ACTOR, now=NOW)
    assert alert(NOW + 60 * HOUR) == 0


def test_receiver_that_hangs_delays_no_other_channel(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    answered = threading.Event()
    with answering(Receiver()) as slow:
        slow.answer_after = answered
        make_channel(slow.url, name="slow")
        make_channel(receiver.url, name="fast")
        for _ in range(3):
            make_group(client_days=100)
        send_alert = deliveries.send_alert

        def send_and_release(channel: AlertChannel, message: messages.Alert) -> None:
            send_alert(channel, message)
            # The slow receiver answers only after all alerts of the other channel.
            if len(receiver.requests) == 3:
                answered.set()

        monkeypatch.setattr(deliveries, "send_alert", send_and_release)
        assert alert(NOW) == 6
        assert len(slow.requests) == 3


def test_channel_gets_no_further_alert_after_one_has_failed(receiver: Receiver) -> None:
    make_channel(receiver.url)
    for _ in range(3):
        make_group(client_days=100)
    receiver.status = 500
    assert alert(NOW) == 0
    assert len(receiver.requests) == 1


@pytest.mark.parametrize(
    ("start", "end", "at", "expected"),
    [
        (None, None, time(3), False),
        (time(22), time(6), time(23), True),
        (time(22), time(6), time(5, 59), True),
        (time(22), time(6), time(6), False),
        (time(1), time(6), time(3), True),
        (time(1), time(6), time(0), False),
        (time(6), time(6), time(6), False),
    ],
)
def test_quiet_hours_may_include_midnight(
    start: time | None, end: time | None, at: time, *, expected: bool
) -> None:
    channel = AlertChannel(quiet_from=start, quiet_until=end)
    assert is_quiet(channel, NOW.replace(hour=at.hour, minute=at.minute)) is expected


def test_alerts_of_quiet_hours_are_sent_later(receiver: Receiver) -> None:
    make_channel(receiver.url, quiet_from=time(11), quiet_until=time(13))
    make_group(client_days=100)
    assert alert(NOW) == 0
    assert alert(NOW + HOUR) == 1


@pytest.mark.parametrize("status", [302, 404, 500])
def test_failed_delivery_is_repeated_with_the_same_id_and_recorded(
    receiver: Receiver, status: int
) -> None:
    make_channel(receiver.url)
    make_group(client_days=100)
    receiver.status = status
    at = NOW
    for wait in [*BACKOFF, timedelta(days=1)]:
        assert alert(at) == 0
        assert alert(at) == 0
        at += wait + HOUR
    assert len(receiver.requests) == len(BACKOFF) + 1
    assert len({headers["X-Coderapi-Delivery"] for headers, _ in receiver.requests}) == 1
    delivery = AlertDelivery.objects.get()
    assert (delivery.status, delivery.attempts) == ("failed", len(BACKOFF) + 1)
    assert delivery.error == f"The server returned status {status}"
    receiver.status = 200
    assert alert(at + timedelta(days=2)) == 0


def test_alert_goes_on_after_a_failure(receiver: Receiver) -> None:
    make_channel(receiver.url)
    make_group(client_days=100)
    receiver.status = 500
    alert(NOW)
    receiver.status = 200
    assert alert(NOW + HOUR) == 1
    assert AlertDelivery.objects.get().error == ""


@pytest.mark.parametrize(
    "url",
    [
        *("http://169.254.169.254/latest", "http://localhost:1/", "http://[::1]:1/"),
        *("http://10.0.0.1/", "http://127.0.0.1.nip.example/", "http://2130706433/"),
    ],
)
def test_internal_address_is_a_failed_delivery(url: str) -> None:
    make_channel(url)
    make_group(client_days=100)
    assert alert(NOW) == 0
    error = AlertDelivery.objects.get().error
    assert "internal address" in error or "cannot be reached" in error


def test_error_of_a_delivery_does_not_contain_the_path_of_its_url() -> None:
    make_channel("http://user:planted@127.0.0.1:1/services/planted?token=planted", kind="slack")
    make_group(client_days=100)
    assert alert(NOW) == 0
    assert AlertDelivery.objects.get().error.startswith("http://127.0.0.1:1 has an internal")
    page = in_admin("auditor").get("/admin/csp/alertdelivery/").text
    assert "internal address" in page
    assert "planted" not in page


def test_signature_is_that_of_the_documentation(receiver: Receiver) -> None:
    channel = make_channel(receiver.url)
    assert run("csp_alert", "--test") == "Sent test alerts: 1."
    [(headers, body)] = receiver.requests
    signed = headers["X-Coderapi-Timestamp"].encode() + b"." + body
    expected = hmac.new(channel.secret.encode(), signed, hashlib.sha256).hexdigest()
    assert headers["X-Coderapi-Signature"] == f"v1={expected}"
    assert json.loads(body)["event"] == "csp_group.test"


def test_slack_text_contains_no_markup_of_a_report() -> None:
    made = messages.Alert("1", "new", "Script from <!channel>&x", "https://c.example", {})
    assert "&lt;!channel&gt;&amp;x" in messages.slack_body(made)["text"]


def test_teams_card_links_to_the_group() -> None:
    made = messages.Alert("1", "regressed", "Script from a", "https://c.example/g", {})
    [attachment] = json.loads(messages.encoded("teams", made))["attachments"]
    assert attachment["content"]["actions"][0]["url"] == "https://c.example/g"


def test_email_is_sent(settings: Any) -> None:
    settings.MAILERS = {"default": {"BACKEND": "django.core.mail.backends.locmem.EmailBackend"}}
    make_channel("ops@example.com", kind="email")
    make_group(client_days=100)
    assert alert(NOW) == 1
    [message] = mail.outbox
    assert message.to == ["ops@example.com"]
    assert "img.example.net" in message.body


def test_error_of_the_email_library_is_a_failed_delivery(settings: Any) -> None:
    settings.MAILERS = {"default": {"BACKEND": "django.core.mail.backends.locmem.EmailBackend"}}
    make_channel("ops@example.com\nBcc: other@example.com", kind="email")
    make_group(client_days=100)
    assert alert(NOW) == 0
    assert AlertDelivery.objects.get().error.startswith("The message cannot be sent")


# --- The admin and the command ----------------------------------------------------------------


FORM = {"name": "security", "kind": "webhook", "min_reach": "5", "hourly_limit": "10"}


def test_channel_is_made_in_the_admin_and_its_address_is_not_shown(receiver: Receiver) -> None:
    client = in_admin("owner")
    form = {**FORM, "address": receiver.url}
    added = client.post("/admin/csp/alertchannel/add/", form, follow=True)
    assert "accepted the test alert. The channel is now on." in added.text
    channel = AlertChannel.objects.get()
    assert (channel.address, channel.enabled) == (receiver.url, True)
    page = client.get(f"/admin/csp/alertchannel/{channel.pk}/change/").text
    assert "planted" not in page
    assert channel.secret in page
    client.post(f"/admin/csp/alertchannel/{channel.pk}/change/", {**FORM, "address": ""})
    channel.refresh_from_db()
    assert (channel.address, channel.enabled) == (receiver.url, False)
    action = {"action": "send_test", "_selected_action": [str(channel.pk)]}
    listed = client.post("/admin/csp/alertchannel/", action, follow=True).text
    assert "accepted the test alert" in listed
    assert "planted" not in listed
    channel.refresh_from_db()
    assert not channel.enabled  # An operator has disabled it.
    assert "planted" not in str(list(Entry.objects.values_list("before", "after")))
    client.post(f"/admin/csp/alertchannel/{channel.pk}/delete/", {"post": "yes"})
    assert not AlertChannel.objects.exists()
    actions = Entry.objects.filter(target_type="alert_channel").values_list("action", flat=True)
    assert sorted(actions) == ["csp.alert_channel.delete", *["csp.alert_channel.save"] * 3]


@pytest.mark.parametrize(
    ("kind", "address"),
    [
        *[("webhook", text) for text in ("", "x", "ftp://a.example/", "http://", "http://a:b/")],
        *[
            ("slack", "ops@example.com"),
            ("email", "ops@example.com"),
            ("other", "https://a.example"),
        ],
    ],
)
def test_wrong_address_is_rejected(kind: str, address: str) -> None:
    form = {**FORM, "kind": kind, "address": address}
    page = in_admin("owner").post("/admin/csp/alertchannel/add/", form)
    assert "errornote" in page.text
    assert not AlertChannel.objects.exists()


def test_new_channel_is_off_until_a_test_is_accepted(receiver: Receiver) -> None:
    receiver.status = 500
    client, form = in_admin("owner"), {**FORM, "address": receiver.url}
    page = client.post("/admin/csp/alertchannel/add/", form, follow=True).text
    assert "status 500. The channel stays off." in page
    assert not AlertChannel.objects.get().enabled
    receiver.status = 200
    run("csp_alert", "--test")
    assert AlertChannel.objects.get().enabled


@pytest.mark.django_db(transaction=True)
def test_test_alert_holds_no_connection(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, held = in_admin("owner"), []
    send_alert = deliveries.send_alert

    def look_and_send(channel: AlertChannel, message: messages.Alert) -> None:
        held.append(connection.connection is not None)
        send_alert(channel, message)

    monkeypatch.setattr(channels, "send_alert", look_and_send)
    client.post("/admin/csp/alertchannel/add/", {**FORM, "address": receiver.url})
    channel = AlertChannel.objects.get()
    action = {"action": "send_test", "_selected_action": [str(channel.pk)]}
    client.post("/admin/csp/alertchannel/", action)
    assert held == [False, False]


def test_auditor_sees_channels_but_sends_nothing(receiver: Receiver) -> None:
    channel, client = make_channel(receiver.url), in_admin("auditor")
    page = client.get(f"/admin/csp/alertchannel/{channel.pk}/change/").text
    assert "planted" not in page
    assert channel.secret not in page
    client.post(
        "/admin/csp/alertchannel/",
        {"action": "send_test", "_selected_action": [str(channel.pk)]},
    )
    assert receiver.requests == []


def test_command_reports_a_failed_test(receiver: Receiver) -> None:
    with pytest.raises(CommandError, match="No channel exists"):
        run("csp_alert", "--test")
    make_channel(receiver.url)
    receiver.status = 500
    with pytest.raises(CommandError, match="security: The server returned status 500"):
        run("csp_alert", "--test")
    with pytest.raises(CommandError, match="No alert channel has this name"):
        run("csp_alert", "--test", "--channel", "other")
    receiver.status = 200
    assert run("csp_alert") == "Sent alerts: 0."


def test_delivery_is_kept_while_its_group_exists(receiver: Receiver) -> None:
    """Otherwise, the alert would be sent again."""
    make_channel(receiver.url)
    make_group(client_days=100)
    assert alert(NOW) == 1
    later = NOW + events.KEPT + HOUR
    assert (alert(later), alert(later + MINUTE)) == (0, 0)
    Group.objects.all().delete()
    alert(later)
    assert not AlertDelivery.objects.exists()


def test_alert_is_dropped_if_an_operator_decides_before_it_is_sent(receiver: Receiver) -> None:
    make_channel(receiver.url, quiet_from=time(11), quiet_until=time(13))
    make_group(client_days=100)
    assert alert(NOW) == 0
    Group.objects.update(state="ignored")
    assert alert(NOW + HOUR) == 0
    assert receiver.requests == []


def test_full_channel_does_not_delay_another_one(receiver: Receiver) -> None:
    make_channel(receiver.url, name="full", hourly_limit=1)
    for _ in range(3):
        make_group(client_days=100)
    assert alert(NOW) == 2
    make_channel(receiver.url, name="other")
    make_group(client_days=100)
    assert alert(NOW + MINUTE) == 1


def test_changed_address_is_in_the_audit_trail_by_its_digest() -> None:
    channel = make_channel("https://hooks.example/services/A")
    channel.address = "https://hooks.example/services/EVIL"
    channels.save_channel(channel, actor=ACTOR, now=NOW)
    entry = Entry.objects.filter(action="csp.alert_channel.save").latest("id")
    assert entry.before != entry.after
    assert "EVIL" not in str(entry.after)
