"""GET /api/coderapi/v1/stats/history: steps, gaps and thinning."""

from __future__ import annotations

import random
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from tests.support.api.client import APIClient
from tests.support.commands import run
from tests.support.concurrency import await_announcements
from tests.support.factories import utc
from tests.support.processes import wait_for
from tests.support.stats_rows import (
    HOUR,
    MINUTE,
    STATS,
    Deployment,
    Reference,
    agent_row,
    text,
    workspace_row,
)

URL = "/api/coderapi/v1/stats/history"
NOON = utc(2026, 5, 4, 12)
DAY = 24 * HOUR


def at(minutes: float) -> datetime:
    return NOON + minutes * MINUTE


def first_hour_of(day: str) -> dict[str, str]:
    return {"since": f"{day}T00:00:00Z", "until": f"{day}T01:00:00Z"}


@pytest.mark.parametrize(
    ("url", "parameters", "field"),
    [
        (STATS, {"at": "noon"}, "at"),
        (STATS, {"at": "2026-05-04T12:00:00"}, "at"),
        (STATS, {"at": "0001-01-01T00:00:00Z"}, "at"),
        (URL, {"since": "x"}, "since"),
        (URL, {"until": "9999-12-31T23:59:59Z"}, "until"),
        (URL, {"since": text(NOON), "until": text(NOON)}, "since"),
        (URL, {"step": "often"}, "step"),
        (URL, {"step": "0"}, "step"),
        (URL, {"step": "-5m"}, "step"),
        (URL, {"step": "90s"}, "step"),
        (URL, {"step": "30s"}, "step"),
        (URL, {"since": "2025-01-01T00:00:00Z", "step": "1h"}, "step"),
        (URL, first_hour_of("2026-04-20") | {"step": "1m"}, "step"),
        (URL, first_hour_of("2026-01-20") | {"step": "5m"}, "step"),
    ],
)
def test_an_invalid_parameter_is_named(
    deployment: Deployment, url: str, parameters: dict[str, str], field: str
) -> None:
    answer = deployment.client.get(url, parameters)
    assert answer.status_code == 400
    assert [entry["field"] for entry in answer.json()["validations"]] == [field]


def test_an_unknown_parameter_is_rejected_with_the_known_ones(deployment: Deployment) -> None:
    answer = deployment.client.get(URL, {"form": "2026-05-04T12:00:00Z", "step": "1h"})
    assert answer.status_code == 400
    (entry,) = answer.json()["validations"]
    assert entry["field"] == "form"
    assert "since, until, step" in entry["detail"]
    token = deployment.client.token
    for name in ("coder_session_token", "access_token"):
        assert APIClient().get(URL, {name: token}).status_code == 200


def test_a_step_without_a_snapshot_is_a_gap(deployment: Deployment) -> None:
    deployment.travel(NOON)
    deployment.take(workspace_row(1), kind="workspace")
    deployment.collect()
    deployment.travel(at(12))
    deployment.collect()
    found = deployment.points(at(0), at(15), "5m")
    assert [point["starts_at"] for point in found] == [text(at(m)) for m in (0, 5, 10)]
    assert found[1] == {"starts_at": text(at(5)), "is_gap": True}
    assert found[0]["workspaces"]["pending"] == 1
    assert set(found[2]["session_count"].values()) == {0}


def test_a_step_has_the_counts_of_its_newest_snapshot_and_its_own_traffic(
    deployment: Deployment,
) -> None:
    for minute in (0, 1, 2):
        deployment.travel(at(minute))
        deployment.take(
            agent_row(
                at(minute),
                rx_bytes=10**minute,
                connection_median_latency_ms=10**minute,
                session_count_ssh=minute,
            )
        )
        deployment.collect()
    (point,) = deployment.points(at(0), at(5), "5m")
    assert point["session_count"]["ssh"] == 2
    assert point["workspaces"]["rx_bytes"] == 111
    assert point["workspaces"]["connection_latency_ms"]["p50"] == pytest.approx(10, rel=0.01)


def test_the_range_is_widened_to_even_steps(deployment: Deployment) -> None:
    parameters = {"since": text(at(3)), "until": text(at(61)), "step": "1h"}
    answer = deployment.client.get(URL, parameters).json()
    assert (answer["since"], answer["until"]) == (text(at(0)), text(at(120)))
    assert answer["step_ns"] == 3_600_000_000_000
    assert len(answer["points"]) == 2


@pytest.mark.parametrize(
    ("days", "span", "step"),
    [
        (1, 1, MINUTE),
        (5, 5, 5 * MINUTE),
        (365, 365, DAY),
        (20, 1, 5 * MINUTE),
        (120, 1, HOUR),
    ],
)
def test_the_default_step_fits_the_range_and_its_age(
    deployment: Deployment, days: int, span: int, step: timedelta
) -> None:
    since = deployment.now - days * DAY
    parameters = {"since": text(since), "until": text(since + span * DAY)}
    answer = deployment.client.get(URL, parameters).json()
    assert answer["step_ns"] == step // timedelta(microseconds=1) * 1000
    assert len(answer["points"]) <= 2_000


def created(row: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(row["created_at"])


def test_every_step_adds_up_to_the_rows_in_it(deployment: Deployment) -> None:
    """Uses rows and snapshots of three days, with hours without rows."""
    chance = random.Random(3)  # noqa: S311 - a seed makes the same rows each time
    rows = [
        agent_row(
            at(chance.choice([chance.uniform(0, 200), chance.uniform(3000, 3200)])),
            agent=chance.randrange(9),
            rx_bytes=chance.randrange(1000),
            connection_median_latency_ms=chance.lognormvariate(3, 2),
        )
        for _ in range(60)
    ]
    deployment.travel(at(3300))
    deployment.take(*rows[:30])
    for row in rows:
        deployment.collect(created(row))
    deployment.take(*rows[30:])
    deployment.travel(at(3301))
    deployment.collect()
    for minutes in (1, 5, 15, 60, 180, 1440):
        since = utc(2026, 5, 4) if minutes > 1 else at(2980)
        points = deployment.points(since, utc(2026, 5, 7), f"{minutes}m")
        assert filled(points) >= 2
        for point in points:
            start = datetime.fromisoformat(point["starts_at"])
            assert_adds_up(
                point, [row for row in rows if start <= created(row) < start + minutes * MINUTE]
            )


def assert_adds_up(point: dict[str, Any], inside: list[dict[str, Any]]) -> None:
    """Fails unless the point has the sums and percentiles of the rows, or is a gap without rows."""
    if point.get("is_gap"):
        assert not inside
        return
    assert point["workspaces"]["rx_bytes"] == sum(row["rx_bytes"] for row in inside)
    for name, fraction in (("p50", 0.5), ("p95", 0.95)):
        expected = percentile([row["connection_median_latency_ms"] for row in inside], fraction)
        latency = point["workspaces"]["connection_latency_ms"][name]
        assert latency == pytest.approx(expected, rel=0.01)


def percentile(latencies: list[float], fraction: float) -> float:
    rows = [agent_row(NOON, connection_median_latency_ms=value) for value in latencies]
    return Reference(rows, NOON).percentile(fraction)


@pytest.mark.parametrize("latency", [1e-12, 1e-6, 0.5, 1, 1.5, 99.9, 1e9, 1e12])
def test_a_latency_is_exact_within_one_percent(deployment: Deployment, latency: float) -> None:
    deployment.travel(at(7))
    deployment.take(agent_row(at(6), connection_median_latency_ms=latency))
    deployment.collect()
    (point,) = deployment.points(at(0), at(60), "1h")
    found = point["workspaces"]["connection_latency_ms"]
    assert found == pytest.approx({"p50": latency, "p95": latency}, rel=0.01)


def filled(points: list[dict[str, Any]]) -> int:
    """Counts the points that are not gaps."""
    return sum(not point.get("is_gap", False) for point in points)


def test_old_snapshots_are_thinned_without_gaps_in_the_shortest_step(
    deployment: Deployment,
) -> None:
    for minute in (0, 1, 4, 6, 59, 61):
        deployment.travel(at(minute))
        deployment.take(workspace_row(minute), kind="workspace")
        deployment.collect()
    before = deployment.points(at(0), at(120), "5m")
    hours = deployment.points(at(0), at(120), "1h")
    deployment.travel(NOON + timedelta(days=6))
    deployment.prune()
    assert filled(deployment.points(at(0), at(120), "1m")) == 6
    deployment.travel(NOON + timedelta(days=8))
    deployment.prune()
    assert deployment.points(at(0), at(120), "5m") == before
    assert filled(before) == 4
    deployment.travel(NOON + timedelta(days=91))
    deployment.prune()
    assert deployment.points(at(0), at(120), "1h") == hours
    assert deployment.at(at(60))["collected_at"] == text(at(59))
    assert deployment.at(at(300))["collected_at"] == text(at(61))


def test_history_is_rendered_again_only_after_a_change(
    connected: None, django_assert_num_queries: Any
) -> None:
    """A change is a new snapshot, or a rollup that is built again after a late row."""
    deployment = Deployment()
    deployment.now = timezone.now()
    hour = deployment.now.replace(minute=0, second=0, microsecond=0)
    parameters = {"since": text(hour - HOUR), "until": text(hour + HOUR), "step": "1h"}

    def get(etag: str = "") -> Any:
        return deployment.client.get(URL, parameters, headers={"If-None-Match": etag})

    def take_snapshot() -> None:
        run("collect_deployment_stats")

    def add_late_row() -> None:
        deployment.take(agent_row(deployment.now, rx_bytes=7, connection_median_latency_ms=1))
        run("rebuild_stats", "--since", text(hour - HOUR))

    for change in (take_snapshot, add_late_row):
        await_announcements()
        before = get()
        etag = before.headers["ETag"]
        with django_assert_num_queries(0):
            assert get().content == before.content
            assert get(etag).status_code == 304
        change()
        wait_for(lambda etag=etag: get(etag).status_code == 200)  # type: ignore[misc]
    coderd = deployment.client.get(URL, parameters, headers={"Coderapi-Wire-Format": "coderd"})
    assert b"P95" in coderd.content
    assert b"P95" not in get().content
