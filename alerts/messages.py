"""The messages of alerts, in the form of each kind of channel. These functions are pure.

A browser's report may contain any text, so no receiver may read a text of a message as markup: a
link with another text than its address, a mention, a further line. Slack gets escaped text without
formatting, Teams text runs, which have no Markdown, and ntfy and mail servers plain text.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from html import escape
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import orjson

from alerts.kinds import Severity
from kernel.text.humanize import plural

MAX_SUBJECT = 250
JSON_OPTIONS = orjson.OPT_UTC_Z
TEST, DIGEST = "test", "digest"


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """The content of a delivery.

    `type` is the kind of the alert, `digest` for several alerts, or `test`. `facts` are lines of a
    name and a value, and `lines` are further lines. `links` are texts and complete URLs. `data` has
    further members of a webhook's `data`.
    """

    id: str
    type: str
    subject: str
    severity: Severity
    at: datetime
    facts: Sequence[tuple[str, str]] = ()
    lines: Sequence[str] = ()
    links: Sequence[tuple[str, str]] = ()
    data: dict[str, Any] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """Returns the subject as one short line."""
        text = one_line(f"[coderapi] {self.subject}")
        return text if len(text) <= MAX_SUBJECT else f"{text[: MAX_SUBJECT - 1]}…"

    @property
    def text(self) -> str:
        """Returns the body as plain text."""
        facts = [one_line(f"{name}: {value}") for name, value in self.facts]
        links = [f"{text}: {url}" for text, url in self.links]
        lines = [one_line(line) for line in self.lines]
        parts = ["\n".join(part) for part in (facts, lines, links) if part]
        return "\n\n".join(parts)


def one_line(text: str) -> str:
    """Returns the text without line breaks and other characters that cannot be printed."""
    return "".join(c if c.isprintable() else " " for c in text)


def digest_subject(words: Sequence[str]) -> str:
    """Returns the subject of a message about several alerts, for example "5 alerts: 5 new"."""
    counts = Counter(words).most_common()
    listed = ", ".join(f"{number:,} {word}" for word, number in counts)
    return f"{plural(len(words), 'alert')}: {listed}"


# --- Bodies -----------------------------------------------------------------------------------


def webhook_body(message: Message) -> dict[str, Any]:
    """Returns the payload of Standard Webhooks: `type`, `timestamp` and `data`."""
    data = {
        **message.data,
        "subject": message.title,
        "text": message.text,
        "severity": message.severity.label,
        "links": [{"text": text, "url": url} for text, url in message.links],
    }
    return {"type": message.type, "timestamp": message.at, "data": data}


def slack_body(message: Message) -> dict[str, Any]:
    # Slack reads &, < and > as markup even without formatting.
    text = escape(f"{message.title}\n{message.text}", quote=False)
    return {"text": text, "mrkdwn": False, "unfurl_links": False, "unfurl_media": False}


def teams_body(message: Message) -> dict[str, Any]:
    """Returns a message with an Adaptive Card, which workflows of Microsoft Teams accept.

    A TextBlock and a FactSet would read Markdown. A TextRun does not.
    """
    facts = [_runs((f"{name}: ", True), (value, False)) for name, value in message.facts]
    card = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "body": [
            _runs((message.title, True)),
            *facts,
            *(_runs((line, False)) for line in message.lines),
        ],
        "actions": [
            {"type": "Action.OpenUrl", "title": text, "url": url} for text, url in message.links
        ],
    }
    attachment = {"contentType": "application/vnd.microsoft.card.adaptive", "content": card}
    return {"type": "message", "attachments": [attachment]}


def _runs(*texts: tuple[str, bool]) -> dict[str, Any]:
    """Returns a paragraph. Each text is bold or not."""
    inlines = [
        {"type": "TextRun", "text": one_line(text), "weight": "bolder" if is_bold else "default"}
        for text, is_bold in texts
    ]
    return {"type": "RichTextBlock", "inlines": inlines}


_NTFY_PRIORITIES = {Severity.LOW: 2, Severity.MEDIUM: 3, Severity.HIGH: 4}


def ntfy_body(message: Message, topic: str) -> dict[str, Any]:
    """Returns the JSON that ntfy publishes to the topic."""
    body = {
        "topic": topic,
        "title": message.title,
        "message": message.text or message.title,
        "priority": _NTFY_PRIORITIES[message.severity],
    }
    return {**body, "click": message.links[0][1]} if message.links else body


BODIES = {"webhook": webhook_body, "slack": slack_body, "teams": teams_body}


def request_of(form: str, address: str, message: Message) -> tuple[str, bytes]:
    """Returns the URL and the body of the request for a channel of this form.

    The address of an ntfy channel ends with the topic, and the body contains the topic.
    """
    if form != "ntfy":
        return address, orjson.dumps(BODIES[form](message), option=JSON_OPTIONS)
    parts = urlsplit(address)
    path, _, topic = parts.path.rstrip("/").rpartition("/")
    url = urlunsplit(parts._replace(path=f"{path}/"))
    return url, orjson.dumps(ntfy_body(message, topic), option=JSON_OPTIONS)


def signed_headers(body: bytes, *, secret: str, delivery: str, at: int) -> dict[str, str]:
    """Returns the headers of a webhook. `at` is the time in Unix seconds.

    `secret` is `whsec_` and the Base64 form of the key. A repeated delivery has the same id.
    Source: the specification of Standard Webhooks, symmetric signatures (`v1`).
    """
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signed = f"{delivery}.{at}.".encode() + body
    signature = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    return {
        "Content-Type": "application/json",
        "webhook-id": delivery,
        "webhook-timestamp": str(at),
        "webhook-signature": f"v1,{signature}",
    }
