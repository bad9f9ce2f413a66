"""The release of Coder, which reports and snapshots contain."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from beside import client, coder_release
from beside.models import CoderRelease
from csp.models import Report
from kernel.coder import running as running_coder
from stats.models import Snapshot
from stats.services import collect_snapshot
from tests.support.api.client import APIClient
from tests.support.coder.releases import V2_34
from tests.support.coder.stand_in import StandInCoder
from tests.support.processes import wait_for

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.parametrize("release", [V2_34], ids=str),
]
REPORT = json.dumps({"csp-report": {"blocked-uri": "https://cdn.example.net/a.js"}})


@pytest.fixture(autouse=True)
def watched(coder: StandInCoder) -> Iterator[None]:
    """Watches the version of the stand-in. No response of an earlier test counts."""
    client.learn_version("", at=float("-inf"))
    coder_release.restart(interval=0.1)
    running_coder.use_source(coder_release.version)
    yield
    running_coder.use_source(None)
    coder_release.restart()


def version_of_a_report(sender: APIClient) -> str:
    Report.objects.all().delete()
    sent = sender.post("/api/v2/csp/reports", REPORT, content_type="application/csp-report")
    assert sent.status_code == 200
    return Report.objects.get().version_name


def test_reports_and_snapshots_contain_the_release_of_coder(
    coder: StandInCoder, owner: APIClient, settings: Any
) -> None:
    settings.CODER_VERSION = "2.29.0"
    assert version_of_a_report(owner) == "2.34.1"
    collect_snapshot(timezone.now())
    assert Snapshot.objects.get().buildinfo_version == f"v2.34.1+coderapi.{settings.VERSION}"
    coder.version = "v2.38.0+abc"
    wait_for(lambda: version_of_a_report(owner) == "2.38.0")
    wait_for(CoderRelease.objects.filter(version="v2.38.0+abc").exists)


def test_last_known_release_is_used_while_coder_is_away(
    coder: StandInCoder, owner: APIClient
) -> None:
    coder.fault = "500"
    assert version_of_a_report(owner) == ""
    coder.fault = ""
    wait_for(lambda: version_of_a_report(owner) == "2.34.1")
    wait_for(CoderRelease.objects.exists)
    coder.fault = "500"
    assert version_of_a_report(owner) == "2.34.1"
    # A new process reads the stored version.
    client.learn_version("", at=float("-inf"))
    coder_release.restart()
    assert version_of_a_report(owner) == "2.34.1"


def test_version_that_another_process_received_later_is_used(
    coder: StandInCoder, owner: APIClient
) -> None:
    """Coder is away when this process receives its first report, some time after an upgrade."""
    coder.fault = "500"
    now, minute = timezone.now(), 60.0
    CoderRelease.remember("v2.38.0+abc", now=now - timedelta(seconds=minute))
    # In the second case, this process received its version later.
    for received, ago, used in (("v2.34.1", 2, "2.38.0"), ("v2.35.0", 0.5, "2.35.0")):
        client.learn_version(received, at=time.monotonic() - ago * minute)
        coder_release.restart()
        assert version_of_a_report(owner) == used


def test_watch_sends_no_request_while_coder_responds_to_others(coder: StandInCoder) -> None:
    coder_release.restart(interval=60.0)
    client.ask("/api/v2/buildinfo", token="")
    coder.seen.clear()
    assert coder_release.version() == coder.version
    assert not coder.seen


def test_interval_and_timeout_take_less_than_ten_seconds() -> None:
    assert 2 * coder_release.INTERVAL_SECONDS + coder_release.SECONDS < 10
