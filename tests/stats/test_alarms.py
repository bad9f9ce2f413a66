from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from alerts.weekly import digest
from stats.alerts import SNAPSHOTS, alarms
from stats.models import Snapshot
from tests.support.csp.reports import in_admin
from tests.support.factories import utc
from tests.support.stats_rows import SECOND, Deployment, agent_row, gauges

NOW = utc(2026, 5, 4, 12, 34)
INTERVAL = timedelta(seconds=30)


def snapshots(
    *, running: int = 1, ssh: int = 0, cursor: int = 0, p95: float = -1, number: int = SNAPSHOTS
) -> list[Snapshot]:
    return [
        Snapshot(
            collected_at=NOW - n * INTERVAL,
            running=running,
            session_counts={"ssh": ssh, "cursor": cursor},
            latency_p95_ms=p95,
        )
        for n in range(number)
    ]


def on(newest: list[Snapshot], *, later: timedelta = INTERVAL) -> set[str]:
    return {alarm.name for alarm in alarms(newest, now=NOW + later) if alarm.on}


unknown = snapshots()[0]
unknown.session_counts = {}


@pytest.mark.parametrize(
    ("newest", "names"),
    [
        (snapshots(), {"sessions_vanished"}),
        (snapshots(ssh=1), set()),
        (snapshots(running=0), set()),
        (snapshots(number=SNAPSHOTS - 1), set()),
        ([*snapshots(number=SNAPSHOTS - 1), *snapshots(ssh=1, number=1)], set()),
        ([], {"snapshot_missing"}),
        ([unknown, *snapshots()[1:]], set()),
    ],
)
def test_sessions_vanish_only_while_workspaces_run(newest: list[Snapshot], names: set[str]) -> None:
    assert on(newest) == names
    if newest:
        _, vanished, _ = alarms(newest, now=NOW)
        assert "no session for 5 minutes. Are agent rows arriving?" in vanished.text


@pytest.mark.parametrize(
    ("newest", "names"),
    [
        (snapshots(ssh=1), {"sessions_vanished_cursor"}),
        (snapshots(ssh=1, cursor=1), set()),
        (snapshots(ssh=1, number=SNAPSHOTS - 1), set()),
        # The other alarm is on.
        (snapshots(), {"sessions_vanished"}),
    ],
)
def test_an_application_that_an_operator_names_has_its_own_alarm(
    newest: list[Snapshot], names: set[str], settings: Any
) -> None:
    settings.STATS_SESSION_ALARM_APPS = ["Cursor"]
    assert on(newest) == names
    assert "Cursor had no session for 5 minutes" in alarms(newest, now=NOW)[2].text


def test_a_snapshot_is_missing_after_several_intervals() -> None:
    assert on(snapshots(ssh=1), later=4 * INTERVAL) == set()
    assert on(snapshots(ssh=1), later=5 * INTERVAL) == {"snapshot_missing"}


@pytest.mark.parametrize(
    ("p95", "limit", "high"), [(99, 100, False), (101, 100, True), (9, 0, False)]
)
def test_latency_is_high_above_the_limit(
    settings: Any, p95: float, limit: float, high: bool
) -> None:
    settings.STATS_LATENCY_ALARM = timedelta(milliseconds=limit)
    assert ("latency_high" in on(snapshots(ssh=1, p95=p95))) is high


def test_gauges_show_the_newest_snapshot(deployment: Deployment) -> None:
    assert gauges()["coderapi_stats_alarm", "snapshot_missing"] == 1
    assert ("coderapi_stats_workspaces", "running") not in gauges()
    assert ("coderapi_stats_snapshot_age_seconds",) not in gauges()
    deployment.collect()
    deployment.travel(7 * SECOND)
    found = gauges()
    assert found["coderapi_stats_workspaces", "running"] == 0
    assert found["coderapi_stats_sessions", "vscode", "vscode"] == 0
    assert ("coderapi_stats_latency_seconds", "0.95") not in found
    assert found["coderapi_stats_traffic_bytes", "received"] == 0
    assert ("coderapi_stats_newest_rollup_age_seconds",) not in found
    assert found["coderapi_stats_snapshot_age_seconds",] == 7


def test_the_digest_has_the_mean_of_the_snapshots_with_a_latency(deployment: Deployment) -> None:
    deployment.collect()
    deployment.travel(SECOND)
    deployment.take(agent_row(deployment.now, connection_median_latency_ms=120))
    deployment.collect()
    facts = dict(digest(deployment.now + SECOND))
    mean = facts["Stats: mean of the 95th percentile of latency"]
    assert mean == "120 ms, the week before none"


def test_the_home_page_shows_alarms(deployment: Deployment, settings: Any) -> None:
    settings.STATS_LATENCY_ALARM = timedelta(milliseconds=100)
    deployment.take(agent_row(deployment.now, connection_median_latency_ms=120))
    deployment.collect()
    assert gauges()["coderapi_stats_latency_seconds", "0.95"] == 0.12
    page = in_admin("owner").get("/admin/").text
    assert "latency is 120 ms; the limit is 100 ms" in page
