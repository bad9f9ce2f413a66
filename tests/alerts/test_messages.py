"""The messages of alerts in each form."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import Any

import pytest

from alerts import messages
from alerts.kinds import Severity
from alerts.messages import Message, request_of
from alerts.sending import send_alerts
from tests.support.api.client import APIClient
from tests.support.channels import ALERTS_DOCUMENT, make_channel
from tests.support.csp.groups import GROUPS, NOW, make_group
from tests.support.servers.webhook_receiver import Receiver

URL = "https://coder.example/admin/csp/group/1/change/"


def made(**values: Any) -> Message:
    common: dict[str, Any] = {
        "id": "5f0c",
        "type": "csp_group.new",
        "subject": "new: Script from new.cdn.test on portal.acme.test (12 clients, risk medium)",
        "severity": Severity.MEDIUM,
        "at": datetime(2026, 11, 30, 12, tzinfo=UTC),
        "facts": [("Cause", "Script from new.cdn.test"), ("Clients", "12")],
        "links": [("Decide about the group", URL), ("Ignore", f"{URL}?state=ignored")],
    }
    return Message(**common | values)


def body_of(form: str, message: Message, address: str = "https://hooks.example/a") -> Any:
    return json.loads(request_of(form, address, message)[1])


def test_text_has_facts_and_links_and_the_title_is_one_short_line() -> None:
    message = made()
    assert message.title == (
        "[coderapi] new: Script from new.cdn.test on portal.acme.test (12 clients, risk medium)"
    )
    assert message.text == (
        "Cause: Script from new.cdn.test\nClients: 12\n\n"
        f"Decide about the group: {URL}\nIgnore: {URL}?state=ignored"
    )
    title = made(subject="new: a\r\nBcc: x" + "y" * 300).title
    assert {"\n", "\r"}.isdisjoint(title)
    assert len(title) == messages.MAX_SUBJECT


@pytest.mark.parametrize(
    ("words", "subject"),
    [
        (["new"] * 8 + ["regressed"] * 4, "12 alerts: 8 new, 4 regressed"),
        (["new"] * 1_200, "1,200 alerts: 1,200 new"),
        (list("aabcdef"), "7 alerts: 2 a, 1 b, 1 c, 1 d, 1 e, 1 f"),
    ],
)
def test_subject_of_a_digest_counts_the_kinds(words: list[str], subject: str) -> None:
    assert messages.digest_subject(words) == subject


def test_webhook_has_the_payload_of_standard_webhooks() -> None:
    body = body_of("webhook", made(data={"subject_key": "1"}))
    assert list(body) == ["type", "timestamp", "data"]
    assert (body["type"], body["timestamp"]) == ("csp_group.new", "2026-11-30T12:00:00Z")
    assert body["data"]["severity"] == "medium"
    assert body["data"]["links"][0] == {"text": "Decide about the group", "url": URL}
    assert body["data"]["subject_key"] == "1"


def test_source_cannot_replace_members_of_the_message() -> None:
    members = {"subject": "x", "text": "x", "severity": "x", "links": "x"}
    assert body_of("webhook", made(data=members)) == body_of("webhook", made())


FORGED = "https://a.example/[Sign%20in](https://evil.example/)/**now**/<!channel>\r\nBcc: x"
ONE_LINE = FORGED.replace("\r\n", "  ")


@pytest.fixture
def forged() -> Message:
    """Returns a message whose texts come from a forged report."""
    return made(subject=f"new: {FORGED}", facts=[("Page", FORGED)], lines=[FORGED])


def test_slack_text_contains_no_markup_of_a_report(forged: Message) -> None:
    body = body_of("slack", forged)
    escaped = ONE_LINE.replace("<", "&lt;").replace(">", "&gt;")
    assert body["text"].splitlines()[:2] == [f"[coderapi] new: {escaped}", f"Page: {escaped}"]
    assert body["mrkdwn"] is False


def test_teams_card_contains_no_markdown_of_a_report(forged: Message) -> None:
    """Only a text run shows each text as it is. All other elements with text read Markdown."""
    [attachment] = body_of("teams", forged)["attachments"]
    card = attachment["content"]
    assert [element["type"] for element in card["body"]] == ["RichTextBlock"] * 3
    runs = [run for element in card["body"] for run in element["inlines"]]
    assert {run["type"] for run in runs} == {"TextRun"}
    texts = [f"[coderapi] new: {ONE_LINE}", "Page: ", ONE_LINE, ONE_LINE]
    assert [run["text"] for run in runs] == texts
    action = {"type": "Action.OpenUrl", "title": "Decide about the group", "url": URL}
    assert card["actions"][0] == action


def test_text_of_a_report_adds_no_line(forged: Message) -> None:
    """Such a line could look like a link of the message."""
    ntfy, webhook = body_of("ntfy", forged), body_of("webhook", forged)
    for text in (forged.text, ntfy["message"], webhook["data"]["text"]):
        found = [line for line in text.splitlines() if "Bcc" in line]
        assert found == [f"Page: {ONE_LINE}", ONE_LINE]
    assert "markdown" not in ntfy


@pytest.mark.parametrize(
    ("address", "url", "topic"),
    [
        ("https://ntfy.sh/ops", "https://ntfy.sh/", "ops"),
        ("https://push.example/ntfy/ops/?auth=x", "https://push.example/ntfy/?auth=x", "ops"),
    ],
)
def test_ntfy_publishes_to_the_topic(address: str, url: str, topic: str) -> None:
    found, body = request_of("ntfy", address, made(severity=Severity.HIGH))
    shown = json.loads(body)
    assert (found, shown["topic"]) == (url, topic)
    assert (shown["priority"], shown["click"]) == (4, URL)


# --- The bodies of webhooks are as docs/alerts.md describes them ------------------------------


EXAMPLES = {
    example["type"]: example
    for text in re.findall(r"^```json\n(.*?)^```", ALERTS_DOCUMENT, re.MULTILINE | re.DOTALL)
    for example in [json.loads(text)]
}


def shape(value: Any) -> Any:
    """Replaces each scalar by its type, and each list by the shape of its first element."""
    if isinstance(value, dict):
        return {name: shape(each) for name, each in value.items()}
    return [shape(each) for each in value[:1]] if isinstance(value, list) else type(value)


@pytest.mark.django_db
def test_one_alert_has_the_members_of_the_example(receiver: Receiver, owner: APIClient) -> None:
    make_channel(receiver.url, min_client_days=10)
    make_group(client_days=10)
    assert send_alerts(NOW) == 1
    [body], example = receiver.bodies, EXAMPLES["csp_group.new"]
    [row] = owner.get(GROUPS).json()["groups"]
    assert body["data"]["group"] == row
    assert shape(example["data"].pop("group")).items() <= shape(body["data"].pop("group")).items()
    assert shape(body) == shape(example)


@pytest.mark.django_db
def test_several_alerts_have_the_members_of_the_example(receiver: Receiver) -> None:
    make_channel(receiver.url, min_client_days=1)
    for number in range(4):
        make_group(blocked_source=f"{number}.example.net", client_days=10)
    assert send_alerts(NOW) == 1
    assert shape(receiver.bodies) == [shape(EXAMPLES["digest"])]
