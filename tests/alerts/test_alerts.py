"""Alerts: when they are due, how they are sent, and what the receiver gets."""

from __future__ import annotations

import base64
import gc
import hashlib
import hmac
import re
from dataclasses import replace
from datetime import time, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.core.mail import EmailMessage
from django.core.management.base import CommandError
from django.db import connection, connections
from django.utils import timezone

from alerts import channels, recording, sending
from alerts.models import Alert, Channel, Delivery
from alerts.recording import is_quiet
from alerts.sending import BACKOFF, MAX_LISTED, send_alerts
from audit.models import Entry
from csp.models import Group, Report
from csp.triage.decisions import Decision, decide
from jobs.registry import find
from kernel.outgoing import OutgoingError
from tests.support.channels import ACTOR, make_channel, make_reports
from tests.support.commands import run, write_lines
from tests.support.csp.groups import NOW, make_group, unsaved_group
from tests.support.csp.reports import in_admin, legacy
from tests.support.processes import wait_for
from tests.support.servers.local_server import answering
from tests.support.servers.mail_server import mail_server, mailers
from tests.support.servers.webhook_receiver import Receiver

pytestmark = pytest.mark.django_db
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)


def test_alert_is_sent_once_when_a_group_reaches_its_number_of_clients(receiver: Receiver) -> None:
    make_channel(receiver.url, min_client_days=10)
    group = make_group(client_days=9)
    assert send_alerts(NOW) == 0
    Group.objects.update(client_days=10)
    assert send_alerts(NOW + MINUTE) == 1
    assert send_alerts(NOW + 2 * MINUTE) == 0
    [body] = receiver.bodies
    data, page = body["data"], f"/admin/csp/group/{group.pk}/change/"
    assert (body["type"], data["group"]["id"]) == ("csp_group.new", str(group.pk))
    assert data["subject"] == (
        "[coderapi] new: Image from img.example.net (10 clients, risk medium)"
    )
    links = [link["url"].rpartition(page)[2] for link in data["links"] if page in link["url"]]
    assert links == ["", "?state=acknowledged", "?state=ignored"]
    assert len(data["links"]) == 3
    assert "Suggested entry: none" in data["text"]
    assert Delivery.objects.get().subject == data["subject"]


def test_alert_names_its_site_and_a_channel_chooses_sites(receiver: Receiver) -> None:
    make_channel(receiver.url, sites=["https://shop.acme.test"])
    make_group(site="https://portal.acme.test", client_days=100)
    make_group(site="https://shop.acme.test", client_days=12)
    assert send_alerts(NOW) == 1
    [body] = receiver.bodies
    assert body["data"]["subject"] == (
        "[coderapi] new: Image from img.example.net on shop.acme.test (12 clients, risk medium)"
    )
    assert body["data"]["site"] == body["data"]["group"]["site"] == "https://shop.acme.test"
    assert "Site: https://shop.acme.test" in body["data"]["text"]


def test_regression_is_alerted_each_time(receiver: Receiver) -> None:
    make_channel(receiver.url)
    group = make_group(client_days=1)
    for day in (1, 2):
        now = NOW + timedelta(days=day)
        decide([group.pk], Decision(state="resolved"), actor=ACTOR, now=now)
        assert send_alerts(now + MINUTE) == 0
        make_reports(group, clients=3, at=now + HOUR)
        assert send_alerts(now + 2 * HOUR) == 1
        assert send_alerts(now + 3 * HOUR) == 0
    assert receiver.types == ["csp_group.regressed"] * 2


@pytest.mark.parametrize(("min_client_days", "clients"), [(1, 1), (2, 2), (10, 3)])
def test_regression_needs_several_clients_since_the_decision(
    receiver: Receiver, min_client_days: int, clients: int
) -> None:
    """Anyone can forge a single report, so it causes no alert of high severity."""
    make_channel(receiver.url, min_client_days=min_client_days)
    group = make_group(client_days=1, state="resolved", state_set_at=NOW)
    make_reports(group, clients=5, at=NOW - HOUR)
    for found in range(clients + 1):
        Report.objects.filter(received_at__gt=NOW).delete()
        for _ in range(2):
            make_reports(group, clients=found, at=NOW + HOUR)
        assert send_alerts(NOW + 2 * HOUR) == int(found == clients)


@pytest.mark.parametrize(
    "state", [{"state": "acknowledged"}, {"state": "ignored"}, {"state": "resolved"}]
)
def test_group_that_was_looked_at_is_not_alerted(receiver: Receiver, state: Any) -> None:
    make_channel(receiver.url, min_client_days=1)
    make_group(**state, state_set_at=NOW)
    assert send_alerts(NOW) == 0


def test_groups_from_before_an_enabled_channel_are_not_alerted(receiver: Receiver) -> None:
    make_channel(receiver.url, is_enabled=False, name="off")
    make_group(client_days=100)
    assert find("send_alerts").enabled() is False
    assert send_alerts(NOW) == 0
    make_channel(receiver.url)
    assert send_alerts(NOW) == 0
    make_group(client_days=100)
    assert send_alerts(NOW) == 1


def test_many_alerts_are_one_message_with_the_highest_severity_and_most_clients_first(
    receiver: Receiver,
) -> None:
    make_channel(receiver.url)
    for clients in (100, 20, 300, 50, 200):
        make_group(client_days=clients)
    regressed = make_group(client_days=15, state="resolved", state_set_at=NOW - 2 * HOUR)
    make_reports(regressed, clients=3, at=NOW - HOUR)
    assert send_alerts(NOW) == 1
    [body] = receiver.bodies
    assert body["type"] == "digest"
    assert body["data"]["subject"] == "[coderapi] 6 alerts: 5 new, 1 regressed"
    found = [(each["type"], each["title"].partition("(")[2]) for each in body["data"]["alerts"]]
    assert found == [
        ("csp_group.regressed", "15 clients)"),
        *(("csp_group.new", f"{clients} clients)") for clients in (300, 200, 100, 50, 20)),
    ]
    # The next digest is a minute later.
    for _ in range(4):
        make_group(client_days=100)
    assert [send_alerts(NOW + seconds * MINUTE / 60) for seconds in (15, 45, 60)] == [0, 0, 1]
    assert set(Alert.objects.values_list("status", flat=True)) == {"sent"}


def test_storm_makes_a_dozen_messages_and_loses_no_alert(receiver: Receiver) -> None:
    make_channel(receiver.url)
    sent = 0
    for step in range(40):
        for _ in range(10):
            make_group(client_days=100)
        sent += send_alerts(NOW + step * MINUTE / 4)
    assert sent == len(receiver.requests) <= 12
    assert send_alerts(NOW + 2 * HOUR) <= 1
    assert Alert.objects.filter(status="sent").count() == 400


@pytest.mark.parametrize(
    "arrivals", [(100, 0, 0, 0), (25, 25, 25, 25), (3, 3, 3, 91), (1, 3, 2, 94)]
)
def test_hundred_events_in_a_minute_make_a_dozen_messages_whatever_the_limit_of_the_hour(
    receiver: Receiver, arrivals: tuple[int, ...]
) -> None:
    """The number of messages depends on the runs in this minute, and not on the events."""
    make_channel(receiver.url, hourly_limit=1_000)
    for step, count in enumerate([*arrivals, 0, 0, 0, 0, 0]):
        Group.objects.bulk_create(unsaved_group(client_days=100) for _ in range(count))
        send_alerts(NOW + step * MINUTE / 4)
    assert len(receiver.requests) <= 12
    assert Alert.objects.filter(status="sent").count() == 100


def test_digest_lists_a_number_of_alerts_and_counts_the_others(receiver: Receiver) -> None:
    make_channel(receiver.url)
    for _ in range(MAX_LISTED + 5):
        make_group(client_days=100)
    assert send_alerts(NOW) == 1
    [body] = receiver.bodies
    assert (len(body["data"]["alerts"]), body["data"]["further_alerts"]) == (MAX_LISTED, 5)
    assert "and 5 more" in body["data"]["text"]
    [link] = body["data"]["links"]
    page = in_admin("auditor").get(urlsplit(link["url"]).path).text
    assert page.count("/admin/alerts/alert/") == MAX_LISTED + 1
    found = re.search(r'href="(/admin/alerts/alert/\?[^"]+)"', page)
    assert found
    rows = in_admin("auditor").get(found[1].replace("&amp;", "&")).context["cl"].result_count
    assert rows == MAX_LISTED + 5


def test_last_message_of_the_hour_lists_all_alerts(receiver: Receiver) -> None:
    make_channel(receiver.url, hourly_limit=2)
    steps = []
    for minutes in (0, 1, 2, 3, 61):
        make_group(client_days=100)
        make_group(client_days=100)
        steps.append(send_alerts(NOW + minutes * MINUTE))
    assert steps == [1, 1, 0, 0, 1]
    assert receiver.types == ["digest"] * 3
    assert [len(body["data"]["alerts"]) for body in receiver.bodies] == [2, 2, 6]


def test_import_of_older_reports_repeats_no_alert(
    receiver: Receiver, collecting: None, tmp_path: Path
) -> None:
    now = timezone.now()
    make_channel(receiver.url, min_client_days=1)
    for index, days in enumerate((1, 20)):
        at = (now - timedelta(days=days)).isoformat()
        file = write_lines(tmp_path / f"{index}.jsonl", {"received_at": at, **legacy()})
        run("import_csp_reports", file)
        assert send_alerts(now + index * HOUR) == 1 - index
    assert Group.objects.get().first_seen < now - timedelta(days=19)


def test_ignored_group_that_reaches_its_limit_is_alerted(receiver: Receiver) -> None:
    make_channel(receiver.url)
    group = make_group(client_days=20)
    assert send_alerts(NOW) == 1
    for day in (1, 2):
        now = NOW + timedelta(days=day)
        number = 20 * (day + 1)
        decision = Decision(state="ignored", ignored_client_days=number)
        decide([group.pk], decision, actor=ACTOR, now=now)
        assert send_alerts(now + MINUTE) == 0
        Group.objects.update(client_days_since_state_set=number)
        assert (send_alerts(now + HOUR), send_alerts(now + 2 * HOUR)) == (1, 0)
    assert receiver.types == ["csp_group.new", *["csp_group.limit_reached"] * 2]


@pytest.mark.parametrize("state", ["new", "acknowledged"])
def test_group_for_other_causes_is_alerted_when_it_grows(receiver: Receiver, state: str) -> None:
    group = make_group(blocked_source="other", client_days=100, state=state, state_set_at=NOW)
    make_channel(receiver.url, min_client_days=10)
    steps = []
    for clients in (109, 110, 119, 120, 140):
        Group.objects.update(client_days=clients)
        steps.append(send_alerts(NOW + (clients - 100) * HOUR))
    assert steps == [0, 1, 0, 1, 1]
    assert set(receiver.types) == {"csp_group.other_growing"}
    # Once an hour at most, and not if the group is settled.
    Group.objects.update(client_days=200)
    assert send_alerts(NOW + 40 * HOUR + MINUTE) == 0
    decide([group.pk], Decision(state="ignored"), actor=ACTOR, now=NOW)
    assert send_alerts(NOW + 60 * HOUR) == 0


def test_receiver_that_hangs_delays_no_other_channel(receiver: Receiver) -> None:
    with answering(Receiver()) as slow:
        # It answers only after all alerts of the other channel.
        slow.before_answer = lambda: wait_for(lambda: len(receiver.requests) == 3)
        make_channel(slow.url, name="slow")
        make_channel(receiver.url, name="fast")
        for _ in range(3):
            make_group(client_days=100)
        assert send_alerts(NOW) == 6
        assert len(slow.requests) == 3


def test_failing_channel_affects_no_other_channel(receiver: Receiver) -> None:
    """Each alert is sent once, and each channel shows its own error."""
    with answering(Receiver()) as refusing:
        refusing.status = 500
        make_channel("ops@example.com", name="mail", type="email")
        make_channel("http://127.0.0.1:1/", name="unreachable")
        make_channel(refusing.url, name="refusing")
        # The revision does not exist, so its message cannot be composed.
        broken = make_channel(receiver.url, name="broken", kinds=["config.changed"])
        at = {"occurred_at": NOW, "created_at": NOW}
        Alert.objects.create(
            channel=broken, kind="config.changed", subject_key="1", severity=1, **at
        )
        make_channel(receiver.url, name="slack", type="slack")
        make_channel(receiver.url, name="webhook")
        make_group(client_days=100)
        assert [send_alerts(NOW + step * MINUTE / 4) for step in range(3)] == [2, 0, 0]
    assert len(receiver.requests) == 2
    assert dict(Channel.objects.values_list("name", "error")) == {
        "broken": "The message cannot be composed (DoesNotExist). See the log of the worker.",
        "mail": "The mail server is not configured. Set CODER_EMAIL_SMARTHOST.",
        "refusing": "The server returned status 500",
        "slack": "",
        "unreachable": "http://127.0.0.1:1 cannot be reached: Connection refused",
        "webhook": "",
    }
    assert Delivery.objects.filter(error="").values_list("status").distinct().get() == ("sent",)
    page = in_admin("auditor").get("/admin/alerts/channel/").text
    assert page.count(">failing<") == 4


def test_channel_gets_no_further_alert_after_one_has_failed(receiver: Receiver) -> None:
    make_channel(receiver.url)
    for _ in range(3):
        make_group(client_days=100)
    receiver.status = 500
    assert send_alerts(NOW) == 0
    assert len(receiver.requests) == 1
    receiver.status = 200
    assert send_alerts(NOW + HOUR) >= 1
    assert set(Delivery.objects.values_list("error", flat=True)) == {""}


@pytest.mark.django_db(transaction=True)
def test_sent_delivery_stays_sent_if_its_channel_cannot_be_updated(receiver: Receiver) -> None:
    make_channel(receiver.url)
    make_group(client_days=100)
    with connection.cursor() as cursor:
        table = "ALTER TABLE alerts_channel"
        cursor.execute(f"{table} ADD CONSTRAINT never CHECK (accepted_at IS NULL)")
        try:
            assert [send_alerts(NOW), send_alerts(NOW + HOUR)] == [1, 0]
        finally:
            cursor.execute(f"{table} DROP CONSTRAINT never")
    assert (len(receiver.requests), Delivery.objects.get().status) == (1, "sent")


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
    channel = Channel(quiet_from=start, quiet_until=end)
    assert is_quiet(channel, NOW.replace(hour=at.hour, minute=at.minute)) is expected


def test_alerts_of_quiet_hours_are_sent_later_unless_an_operator_decides(
    receiver: Receiver,
) -> None:
    make_channel(receiver.url, quiet_from=time(11), quiet_until=time(13))
    decided = make_group(client_days=100)
    make_group(client_days=200)
    assert send_alerts(NOW) == 0
    Group.objects.filter(pk=decided.pk).update(state="ignored")
    assert send_alerts(NOW + HOUR) == 1
    assert "(200 clients" in receiver.titles[0]


@pytest.mark.parametrize("status", [302, 404, 500])
def test_failed_delivery_is_repeated_with_the_same_id_and_recorded(
    receiver: Receiver, status: int
) -> None:
    make_channel(receiver.url)
    make_group(client_days=100)
    receiver.status = status
    at = NOW
    for wait in [*BACKOFF, timedelta(days=1)]:
        assert send_alerts(at) == 0
        assert send_alerts(at) == 0
        at += wait + HOUR
    assert len(receiver.requests) == len(BACKOFF) + 1
    assert len({headers["webhook-id"] for headers, _ in receiver.requests}) == 1
    delivery = Delivery.objects.get()
    assert (delivery.status, delivery.attempts) == ("failed", len(BACKOFF) + 1)
    assert delivery.error == f"The server returned status {status}"
    receiver.status = 200
    assert send_alerts(at + timedelta(days=2)) == 0


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
    assert send_alerts(NOW) == 0
    error = Delivery.objects.get().error
    assert "internal address" in error or "cannot be reached" in error


def test_error_of_a_delivery_does_not_contain_the_path_of_its_url() -> None:
    make_channel("http://user:planted@127.0.0.1:1/services/planted?token=planted", type="slack")
    make_group(client_days=100)
    assert send_alerts(NOW) == 0
    assert Delivery.objects.get().error.startswith("http://127.0.0.1:1 has an internal")
    page = in_admin("auditor").get("/admin/alerts/delivery/").text
    assert "internal address" in page
    assert "planted" not in page


def test_signature_is_that_of_the_documentation(receiver: Receiver) -> None:
    channel = make_channel(receiver.url)
    assert "Sent 1 test alert." in run("send_alerts", "--test")
    [(headers, body)] = receiver.requests
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    key = base64.b64decode(channel.secret.removeprefix("whsec_"))
    expected = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{expected}"
    assert headers["webhook-id"]
    assert headers["webhook-timestamp"].isdecimal()
    assert receiver.types == ["test"]


def test_email_is_sent(outbox: list[EmailMessage]) -> None:
    make_channel("ops@fa\u00df.example", type="email")
    make_group(client_days=100)
    assert send_alerts(NOW) == 1
    [message] = outbox
    assert message.to == ["ops@xn--fa-hia.example"]
    assert "img.example.net" in message.body


def test_text_of_a_report_adds_no_header_to_a_mail(settings: Any) -> None:
    channel = make_channel("ops@example.com", type="email")
    forged = "x\r\nBcc: evil@example.com\r\n\r\n.\r\nRCPT TO:<evil@example.com>"
    message = replace(sending.test_message(channel, NOW), subject=forged, lines=[forged])
    with mail_server() as mailbox:
        settings.MAILERS, settings.DEFAULT_FROM_EMAIL = mailers(mailbox.port), "from@example.com"
        sending.send_message(channel, message)
    recipients = [line for line in mailbox.lines if line.lower().startswith(("rcpt", "bcc"))]
    assert [line.lower() for line in recipients] == ["rcpt to:<ops@example.com>"]
    assert any("evil@example.com" in line for line in mailbox.lines)


@pytest.mark.usefixtures("outbox")
def test_error_of_the_email_library_is_a_failed_delivery() -> None:
    make_channel("ops@example.com\nBcc: other@example.com", type="email")
    make_group(client_days=100)
    assert send_alerts(NOW) == 0
    assert Delivery.objects.get().error.startswith("The message cannot be sent")


# --- The admin and the command ----------------------------------------------------------------


FORM = {"name": "security", "type": "webhook", "min_severity": "1"}
FORM |= {"min_client_days": "5", "hourly_limit": "10"}


def test_receivers_that_hang_occupy_few_threads(receiver: Receiver) -> None:
    channel = make_channel(receiver.url)
    with (
        channels.TESTS.hold(),
        channels.TESTS.hold(),
        pytest.raises(OutgoingError, match="Other channels are"),
    ):
        channels.send_test(channel, actor=ACTOR, now=NOW)
    channel.refresh_from_db()
    assert (channel.error, receiver.requests) == ("", [])


def test_change_during_the_first_test_is_kept(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed, deleted = (make_channel(receiver.url, name=name) for name in ("old", "other"))
    Channel.objects.update(accepted_at=None, is_enabled=False)

    def send(channel: Channel, _message: Any) -> None:
        Channel.objects.filter(pk=deleted.pk).delete()
        Channel.objects.filter(pk=changed.pk).update(name="new")

    monkeypatch.setattr(channels, "send_message", send)
    tested = [Channel.objects.get(pk=channel.pk) for channel in (changed, deleted)]
    assert [channels.send_test(each, actor=ACTOR, now=NOW) for each in tested] == [True, False]
    assert list(Channel.objects.values_list("name", "is_enabled")) == [("new", True)]


def test_channel_is_made_in_the_admin_and_its_address_is_not_shown(receiver: Receiver) -> None:
    client = in_admin("owner")
    form = {**FORM, "address": receiver.url}
    added = client.post("/admin/alerts/channel/add/", form, follow=True)
    accepted = "The receiver of “security” accepted the test alert. The channel is now on."
    assert accepted in added.text
    channel = Channel.objects.get()
    assert (channel.address, channel.is_enabled) == (receiver.url, True)
    page = client.get(f"/admin/alerts/channel/{channel.pk}/change/").text
    assert "planted" not in page
    assert channel.secret in page
    client.post(f"/admin/alerts/channel/{channel.pk}/change/", {**FORM, "address": ""})
    channel.refresh_from_db()
    assert (channel.address, channel.is_enabled) == (receiver.url, False)
    action = {"action": "send_test", "_selected_action": [str(channel.pk)]}
    listed = client.post("/admin/alerts/channel/", action, follow=True).text
    assert "accepted the test alert" in listed
    assert "planted" not in listed
    channel.refresh_from_db()
    assert not channel.is_enabled  # An operator has disabled it.
    assert "planted" not in str(list(Entry.objects.values_list("before", "after")))
    client.post(f"/admin/alerts/channel/{channel.pk}/delete/", {"post": "yes"})
    assert not Channel.objects.exists()
    actions = Entry.objects.filter(target_type="alert_channel").values_list("action", flat=True)
    assert sorted(actions) == ["alert_channel.delete", *["alert_channel.save"] * 3]


@pytest.mark.parametrize(
    ("form", "address", "value", "placeholder"),
    [
        ("email", "ops@example.com", "ops@example.com", ""),
        ("slack", "https://hooks.example/planted", "", "set (hooks.example); leave empty to keep"),
        ("ntfy", "https://ntfy.example/planted", "", "set (ntfy.example); leave empty to keep"),
    ],
)
def test_form_shows_an_address_without_a_secret(
    form: str, address: str, value: str, placeholder: str
) -> None:
    channel = make_channel(address, type=form)
    page = in_admin("owner").get(f"/admin/alerts/channel/{channel.pk}/change/")
    field = page.context["adminform"].form["address"]
    assert (field.value(), field.field.widget.attrs.get("placeholder", "")) == (value, placeholder)
    assert re.findall(r"<label[^>]*>(Address):?</label>", page.text) == ["Address"]
    assert "planted" not in page.text
    for name in ("Slack", "Microsoft Teams", "ntfy", "E-mail"):
        assert f"<li>{name}: <code>" in page.text


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
    form = {**FORM, "type": kind, "address": address}
    page = in_admin("owner").post("/admin/alerts/channel/add/", form)
    assert "errornote" in page.text
    assert not Channel.objects.exists()


@pytest.mark.parametrize("site", ["shop", "https://a.example/", "https://A.example", "http://"])
def test_site_that_no_report_can_have_is_rejected(receiver: Receiver, site: str) -> None:
    form = {**FORM, "address": receiver.url, "sites": f"https://b.example:8443\r\n{site}\r\nother"}
    page = in_admin("owner").post("/admin/alerts/channel/add/", form)
    assert "Enter an origin in lower case, without a path, or other." in page.text
    assert not Channel.objects.exists()
    in_admin("owner").post(
        "/admin/alerts/channel/add/", {**form, "sites": "https://b.example\nother"}
    )
    assert Channel.objects.get().sites == ["https://b.example", "other"]


def test_new_channel_is_off_until_a_test_is_accepted(receiver: Receiver) -> None:
    receiver.status = 500
    client, form = in_admin("owner"), {**FORM, "address": receiver.url}
    page = client.post("/admin/alerts/channel/add/", form, follow=True).text
    assert "status 500. The channel is off until it accepts a test." in page
    channel = Channel.objects.get()
    assert not channel.is_enabled
    shown = client.get(f"/admin/alerts/channel/{channel.pk}/change/").text
    assert "</time>: The server returned status 500" in shown
    assert ">test failed<" in shown
    receiver.status = 200
    run("send_alerts", "--test")
    assert Channel.objects.get().is_enabled


@pytest.mark.django_db(transaction=True)
def test_test_alert_holds_no_connection(receiver: Receiver) -> None:
    # A cursor of an earlier test that was never closed would hold the connection of this thread.
    gc.collect()
    client, held, ours = in_admin("owner"), [], connections["default"]
    receiver.before_answer = lambda: held.append(ours.connection is not None)
    client.post("/admin/alerts/channel/add/", {**FORM, "address": receiver.url})
    channel = Channel.objects.get()
    action = {"action": "send_test", "_selected_action": [str(channel.pk)]}
    client.post("/admin/alerts/channel/", action)
    assert held == [False, False]


def test_auditor_sees_channels_but_sends_nothing(receiver: Receiver) -> None:
    channel, client = make_channel(receiver.url), in_admin("auditor")
    page = client.get(f"/admin/alerts/channel/{channel.pk}/change/").text
    assert "planted" not in page
    assert channel.secret not in page
    action = {"action": "send_test", "_selected_action": [str(channel.pk)]}
    client.post("/admin/alerts/channel/", action)
    assert receiver.requests == []


def test_command_reports_a_failed_test(receiver: Receiver) -> None:
    with pytest.raises(CommandError, match="No alert channel exists"):
        run("send_alerts", "--test")
    make_channel(receiver.url)
    receiver.status = 500
    with pytest.raises(CommandError, match="security: The server returned status 500"):
        run("send_alerts", "--test")
    with pytest.raises(CommandError, match="There is no alert channel"):
        run("send_alerts", "--test", "--channel", "other")
    receiver.status = 200
    assert run("send_alerts") == "Sent 0 messages."


def test_delivery_is_kept_while_its_group_exists(receiver: Receiver) -> None:
    """Otherwise, the alert would be sent again."""
    make_channel(receiver.url)
    make_group(client_days=100)
    assert send_alerts(NOW) == 1
    later = NOW + recording.KEPT + HOUR
    assert (send_alerts(later), send_alerts(later + MINUTE)) == (0, 0)
    Group.objects.all().delete()
    send_alerts(later)
    assert not Delivery.objects.exists()


def test_full_channel_does_not_delay_another_one(receiver: Receiver) -> None:
    make_channel(receiver.url, name="full", hourly_limit=1)
    for _ in range(3):
        make_group(client_days=100)
    assert send_alerts(NOW) == 1
    make_channel(receiver.url, name="other")
    make_group(client_days=100)
    assert send_alerts(NOW + MINUTE) == 1


def test_changed_channel_is_in_the_audit_trail_and_its_address_by_a_digest() -> None:
    channel = make_channel("https://hooks.example/services/A")
    channel.address = "https://hooks.example/services/EVIL"
    channel.quiet_from, channel.name = time(22), "night"
    channels.save_channel(channel, actor=ACTOR, now=NOW)
    entry: Any = Entry.objects.filter(action="alert_channel.save").latest("id")
    assert entry.before["address_digest"] != entry.after["address_digest"]
    names = ("name", "quiet_from", "hourly_limit", "address")
    before, after = ([facts[name] for name in names] for facts in (entry.before, entry.after))
    assert before == ["security", "", 10, "hooks.example"]
    assert after == ["night", "22:00:00", 10, "hooks.example"]
    assert not {"secret", "error"} & entry.after.keys()
    assert "EVIL" not in str(entry.after)
