"""The messages of alerts in each form."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from alerts import messages
from alerts.kinds import Severity
from alerts.messages import Message, request_of

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


def test_text_has_facts_and_links() -> None:
    message = made()
    assert message.title == (
        "[coderapi] new: Script from new.cdn.test on portal.acme.test (12 clients, risk medium)"
    )
    assert message.text == (
        "Cause: Script from new.cdn.test\nClients: 12\n\n"
        f"Decide about the group: {URL}\nIgnore: {URL}?state=ignored"
    )


def test_title_is_one_short_line() -> None:
    title = made(subject="new: a\r\nBcc: x" + "y" * 300).title
    assert "\n" not in title
    assert "\r" not in title
    assert len(title) == messages.MAX_SUBJECT


@pytest.mark.parametrize(
    ("words", "subject"),
    [
        (["new"] * 8 + ["regressed"] * 4, "12 alerts: 8 new, 4 regressed"),
        (["new"] * 1_200, "1,200 alerts: 1,200 new"),
    ],
)
def test_subject_of_a_digest_counts_the_kinds(words: list[str], subject: str) -> None:
    assert messages.digest_subject(words) == subject


def test_webhook_has_the_payload_of_standard_webhooks() -> None:
    body = body_of("webhook", made(data={"key": "1"}))
    assert list(body) == ["type", "timestamp", "data"]
    assert (body["type"], body["timestamp"]) == ("csp_group.new", "2026-11-30T12:00:00Z")
    assert body["data"]["severity"] == "medium"
    assert body["data"]["links"][0] == {"text": "Decide about the group", "url": URL}
    assert body["data"]["key"] == "1"


def test_signature_is_that_of_standard_webhooks() -> None:
    key = b"k" * 32
    secret = f"whsec_{base64.b64encode(key).decode()}"
    headers = messages.signed_headers(b"{}", secret=secret, delivery="msg_1", at=1_700_000_000)
    digest = hmac.new(key, b"msg_1.1700000000.{}", hashlib.sha256).digest()
    assert headers["webhook-signature"] == f"v1,{base64.b64encode(digest).decode()}"
    assert (headers["webhook-id"], headers["webhook-timestamp"]) == ("msg_1", "1700000000")


def test_slack_text_contains_no_markup_of_a_report() -> None:
    text = body_of("slack", made(subject="new: Script from <!channel>&x"))["text"]
    assert "&lt;!channel&gt;&amp;x" in text


def test_teams_card_has_facts_and_links() -> None:
    [attachment] = body_of("teams", made())["attachments"]
    card = attachment["content"]
    assert card["actions"][0] == {
        "type": "Action.OpenUrl",
        "title": "Decide about the group",
        "url": URL,
    }
    assert {"title": "Clients", "value": "12"} in card["body"][1]["facts"]


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
