from __future__ import annotations

from datetime import timedelta

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from deployment.stats.alarms import SNAPSHOTS, judge
from deployment.stats.metrics import StatsCollector
from deployment.stats.models import Snapshot
from deployment.stats.services import collect_snapshot
from tests.factories import utc

NOW = utc(2026, 5, 4, 12, 34)
INTERVAL = timedelta(seconds=30)


def snapshots(
    *, running: int = 1, ssh: int = 0, p95: float = -1, number: int = SNAPSHOTS
) -> list[Snapshot]:
    return [
        Snapshot(
            collected_at=NOW - n * INTERVAL,
            running=running,
            session_counts={"ssh": ssh},
            latency_p95=p95,
        )
        for n in range(number)
    ]


def on(newest: list[Snapshot], *, later: timedelta = INTERVAL, limit: float = 0) -> set[str]:
    found = judge(newest, now=NOW + later, interval=INTERVAL, p95_limit_ms=limit)
    return {alarm.name for alarm in found if alarm.on}


@pytest.mark.parametrize(
    ("newest", "names"),
    [
        (snapshots(), {"sessions_vanished"}),
        (snapshots(ssh=1), set()),
        (snapshots(running=0), set()),
        (snapshots(number=SNAPSHOTS - 1), set()),
        ([*snapshots(number=SNAPSHOTS - 1), *snapshots(ssh=1, number=1)], set()),
        ([], {"snapshot_missing"}),
    ],
)
def test_sessions_vanish_only_while_workspaces_run(newest: list[Snapshot], names: set[str]) -> None:
    assert on(newest) == names


def test_a_snapshot_is_missed_after_some_intervals() -> None:
    assert on(snapshots(ssh=1), later=4 * INTERVAL) == set()
    assert on(snapshots(ssh=1), later=5 * INTERVAL) == {"snapshot_missing"}


@pytest.mark.parametrize(
    ("p95", "limit", "high"), [(99, 100, False), (101, 100, True), (9, 0, False)]
)
def test_latency_is_high_above_the_operators_limit(p95: float, limit: float, high: bool) -> None:
    assert ("latency_high" in on(snapshots(ssh=1, p95=p95), limit=limit)) is high


@pytest.mark.django_db
def test_every_figure_of_the_newest_snapshot_is_a_gauge() -> None:
    registry = CollectorRegistry(auto_describe=False)
    registry.register(StatsCollector())
    assert b'coderapi_stats_alarm{alarm="snapshot_missing"} 1.0' in generate_latest(registry)
    collect_snapshot(NOW)
    shown = generate_latest(registry).decode()
    for line in (
        'workspaces{state="running"} 0.0',
        'sessions{kind="vscode"} 0.0',
        'latency_milliseconds{quantile="0.95"} -1.0',
        "rx_bytes 0.0",
        "folding_lag_seconds -1.0",
        "snapshot_age_seconds",
    ):
        assert f"coderapi_stats_{line}" in shown
