"""Channels of alerts, and reports of which alerts tell."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from alerts import channels
from alerts.models import Channel
from audit.services import Actor
from csp.models import REPORTS, Group, Report
from tests.support.csp_groups import NOW

ACTOR = Actor(name="test")


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
            client_hash=bytes([number] * 16),
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
