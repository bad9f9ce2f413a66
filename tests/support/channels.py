"""Alert channels, reports that cause alerts, and the members of webhooks in docs/alerts.md."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

from alerts import channels
from alerts.models import Channel
from audit.services import Actor
from coderapi.settings import BASE_DIR
from csp.models import REPORTS, Group, Report
from tests.support.csp.groups import NOW

ACTOR = Actor(name="test")
ALERTS_DOCUMENT = (BASE_DIR / "docs" / "alerts.md").read_text(encoding="utf-8")


def documented_details(kind: str) -> list[str]:
    """Returns the members of `data.details` that the document lists for the kind."""
    [row] = re.findall(rf"^\| `{kind}` \| (`.+) \|$", ALERTS_DOCUMENT, re.MULTILINE)
    return re.findall(r"`(\w+)`", row)


def make_channel(address: str, *, now: datetime = NOW, **values: Any) -> Channel:
    common = {"name": "security", "type": "webhook", "is_enabled": True, "kinds": CSP_KINDS}
    channel = Channel(**{**common, "address": address, **values})
    channels.save_channel(channel, actor=ACTOR, now=now)
    return channel


def make_reports(group: Group, *, clients: int, at: datetime) -> None:
    """Makes a report of the group from each client, and updates the group."""
    REPORTS.ensure(at, at)
    Report.objects.bulk_create(
        Report(
            received_at=at,
            occurred_at=at,
            group=group,
            format="report-uri",
            client_address_hash=bytes([number] * 16),
        )
        for number in range(clients)
    )
    Group.objects.filter(pk=group.pk).update(last_seen=at)


CSP_KINDS = [
    "csp_group.new",
    "csp_group.regressed",
    "csp_group.limit_reached",
    "csp_group.other_growing",
]
