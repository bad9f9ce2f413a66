from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest

from alerts import channels
from alerts.models import Channel
from audit.services import Actor
from csp.models import REPORTS, Group, Report
from tests.csp.test_triage import NOW
from tests.support.csp_reports import fresh_writer
from tests.support.local_server import answering
from tests.support.webhook_receiver import Receiver

ACTOR = Actor(name="test")


@pytest.fixture
def collecting(transactional_db: None) -> Iterator[None]:
    """Collects reports, and stops the writer before the rows of the test are deleted."""
    with fresh_writer():
        yield


@pytest.fixture
def receiver(settings: Any) -> Iterator[Receiver]:
    settings.OUTGOING_NETWORKS = ["127.0.0.1/32"]
    with answering(Receiver()) as server:
        yield server


def make_channel(address: str, *, now: datetime = NOW, **values: Any) -> Channel:
    common = {"name": "security", "form": "webhook", "enabled": True, "kinds": CSP_KINDS}
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
            client=bytes([number] * 16),
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
