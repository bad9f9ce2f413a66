"""The messages of alerts, and their signature. These functions are pure."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from html import escape
from typing import Any

import orjson

EVENTS = {
    "new": "A new violation affects many clients",
    "limit_reached": "An ignored violation has reached its limit",
    "regressed": "A resolved violation was reported again",
    "growing": "More clients report violations that got no group of their own",
    "summary": "Further violations need attention",
    "test": "This is a test alert",
}


@dataclass(frozen=True, slots=True)
class Alert:
    """The content of an alert. `group` contains the members of the group in the API, if any."""

    delivery: str
    event: str
    cause: str
    url: str
    group: dict[str, Any]

    @property
    def title(self) -> str:
        return EVENTS[self.event]

    @property
    def text(self) -> str:
        """Returns the alert as one line of plain text, followed by the URL of the group."""
        return f"{self.title}: {self.cause}\n{self.url}"


def webhook_body(alert: Alert) -> dict[str, Any]:
    return {
        "event": f"csp_group.{alert.event}",
        "delivery": alert.delivery,
        "title": alert.title,
        "cause": alert.cause,
        "url": alert.url,
        "group": alert.group,
    }


def slack_body(alert: Alert) -> dict[str, Any]:
    # Slack reads &, < and > as markup, and a browser's report may contain them.
    return {"text": escape(alert.text, quote=False), "unfurl_links": False}


def teams_body(alert: Alert) -> dict[str, Any]:
    """Returns a message with an Adaptive Card, which workflows of Microsoft Teams accept."""
    card = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "body": [
            {"type": "TextBlock", "weight": "bolder", "wrap": True, "text": alert.title},
            {"type": "TextBlock", "wrap": True, "text": alert.cause},
        ],
        "actions": [{"type": "Action.OpenUrl", "title": "Open the group", "url": alert.url}],
    }
    attachment = {"contentType": "application/vnd.microsoft.card.adaptive", "content": card}
    return {"type": "message", "attachments": [attachment]}


BODIES = {"webhook": webhook_body, "slack": slack_body, "teams": teams_body}


def encoded(kind: str, alert: Alert) -> bytes:
    """Returns the body of the request for a channel of that kind."""
    return orjson.dumps(BODIES[kind](alert))


def signed_headers(body: bytes, *, secret: str, delivery: str, at: int) -> dict[str, str]:
    """Returns the headers of a webhook. `at` is the time in Unix seconds.

    The receiver computes HMAC-SHA256 of `at`, a dot and the body, compares it with the signature in
    constant time, and rejects old timestamps. A repeated delivery has the same id.
    """
    signed = f"{at}.".encode() + body
    signature = hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()
    return {
        "Content-Type": "application/json",
        "X-Coderapi-Delivery": delivery,
        "X-Coderapi-Timestamp": str(at),
        "X-Coderapi-Signature": f"v1={signature}",
    }
