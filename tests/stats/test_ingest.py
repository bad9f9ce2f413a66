"""Ingestion: duplicates, rejected rows, closed hours and retention."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.core.management import CommandError

from stats.rollups import hours
from tests.support.commands import run
from tests.support.factories import utc
from tests.support.stats_rows import (
    HOUR,
    MINUTE,
    NOW,
    SECOND,
    STATS,
    Deployment,
    agent_row,
    agrees,
    text,
    workspace_row,
)

DAY = 24 * HOUR


def measured(moment: Any, **members: Any) -> dict[str, Any]:
    return agent_row(moment, connection_median_latency_ms=1, rx_bytes=1, **members)


def test_a_duplicate_changes_nothing(deployment: Deployment) -> None:
    row = measured(NOW)
    assert deployment.counts(row, row) == (1, 1, 0)
    assert deployment.counts(row) == (0, 1, 0)
    assert deployment.counts(row, measured(NOW), row) == (1, 2, 0)
    # The same id with another time is a new row.
    assert deployment.counts(row | {"created_at": (NOW - SECOND).isoformat()}) == (1, 0, 0)
    found = deployment.collect()
    assert (found["workspaces"]["rx_bytes"], found["rows"]) == (3, 3)


def test_duplicates_and_new_rows_of_many_hours_are_counted(deployment: Deployment) -> None:
    rows = [measured(NOW - n * 25 * MINUTE, agent=n % 3) for n in range(40)]
    assert deployment.counts(*rows[::2]) == (20, 0, 0)
    assert deployment.counts(*reversed(rows)) == (20, 20, 0)
    for ago in range(0, 16, 5):
        agrees(deployment.collect(NOW - ago * HOUR), rows)


@pytest.mark.parametrize(
    ("moment", "detail"),
    [
        (NOW + timedelta(minutes=5, seconds=1), "5 minutes in the future"),
        (NOW - 401 * DAY, "the end of the retention"),
        (utc(1), "the end of the retention"),
        (utc(9998), "5 minutes in the future"),
    ],
)
def test_a_row_outside_the_retention_is_rejected(
    deployment: Deployment, moment: Any, detail: str
) -> None:
    result = deployment.send(agent_row(NOW), agent_row(moment), agent_row(NOW))
    assert result["accepted"] == 2
    (rejection,) = result["rejections"]
    assert (rejection["row_number"], rejection["field"]) == (2, "created_at")
    assert detail in rejection["detail"]


def test_without_retention_rows_since_2000_are_stored(
    deployment: Deployment, settings: Any
) -> None:
    settings.STATS_AGENT_ROW_RETENTION = settings.STATS_RETENTION = timedelta(0)
    assert deployment.counts(agent_row(utc(2000)), agent_row(utc(1999))) == (1, 0, 1)
    deployment.travel(5000 * DAY)
    deployment.prune()
    assert deployment.collect(utc(2000))["rows"] == 1


@pytest.mark.django_db(transaction=True)
def test_raw_rows_are_dropped_by_hour_and_later_rows_of_the_hour_rejected(
    deployment: Deployment,
) -> None:
    old, new = measured(NOW - 2 * HOUR), measured(NOW)
    deployment.take(old, new)
    deployment.collect()
    deployment.travel(23 * HOUR)
    deployment.prune()
    assert deployment.counts(old) == (0, 1, 0)
    deployment.travel(HOUR + 10 * MINUTE)
    deployment.prune()
    for row in (old, measured(NOW - 2 * HOUR)):
        (rejection,) = deployment.send(row, new)["rejections"]
        assert rejection["field"] == "created_at"
        assert "the hour 2026-05-04T10:00:00+00:00, which is closed" in rejection["detail"]
    with pytest.raises(CommandError, match="agent rows are not kept"):
        deployment.collect(NOW - 2 * HOUR)


@pytest.mark.django_db(transaction=True)
def test_a_closed_hour_keeps_its_history(deployment: Deployment, settings: Any) -> None:
    """Neither a rebuild nor a longer retention opens it, and minute rollups expire first."""

    def history() -> list[dict[str, Any]]:
        return deployment.points(NOW - HOUR, NOW + HOUR, "1h")

    deployment.take(measured(NOW))
    deployment.collect()
    before = history()
    assert [point.get("is_gap", False) for point in before] == [True, False, True]
    deployment.travel(26 * HOUR)
    deployment.prune()
    deployment.take(measured(deployment.now))
    message = run("rebuild_stats", "--since", text(NOW - 9 * HOUR))
    assert message == "1 minute with rows rebuilt. 1 closed hour left unchanged."
    for retention in (DAY, 9 * DAY, timedelta(0)):
        settings.STATS_AGENT_ROW_RETENTION = retention
        assert deployment.counts(measured(NOW)) == (0, 0, 1)
        with pytest.raises(CommandError, match="agent rows are not kept"):
            deployment.collect(NOW)
    assert history() == before
    settings.STATS_AGENT_ROW_RETENTION = DAY
    deployment.travel(NOW + 91 * DAY)
    deployment.prune()
    assert history()[1]["workspaces"]["rx_bytes"] == 1


@pytest.mark.django_db(transaction=True)
def test_an_old_hour_is_opened_built_and_dropped_a_day_later(deployment: Deployment) -> None:
    old = NOW - 30 * DAY
    deployment.take(measured(old))
    deployment.prune()
    deployment.collect()
    deployment.travel(20 * HOUR)
    deployment.prune()
    assert deployment.counts(measured(old)) == (1, 0, 0)
    # The hour is built again, so its rows are kept for another day.
    deployment.collect()
    deployment.travel(20 * HOUR)
    deployment.prune()
    assert deployment.collect(old + MINUTE)["rows"] == 2
    deployment.travel(5 * HOUR)
    deployment.prune()
    assert deployment.counts(measured(old)) == (0, 0, 1)


def test_an_hour_with_stale_minutes_stays_open(deployment: Deployment) -> None:
    deployment.take(measured(NOW))
    deployment.travel(3 * DAY)
    deployment.prune()
    assert deployment.collect(NOW)["rows"] == 1


@pytest.mark.django_db(transaction=True)
def test_an_hour_without_rows_closes_when_it_is_dropped(deployment: Deployment) -> None:
    deployment.job("make_stats_partitions")
    deployment.travel(2 * DAY)
    deployment.prune()
    assert deployment.counts(agent_row(NOW)) == (0, 0, 1)
    assert deployment.counts(agent_row(NOW - 9 * HOUR)) == (1, 0, 0)


def test_the_number_of_open_old_hours_is_limited(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hours, "MAX_OLD_HOURS", 3)
    rows = [agent_row(NOW - 2 * DAY - n * HOUR) for n in range(5)]
    result = deployment.send(*rows, agent_row(NOW))
    assert result["accepted"] == 4
    assert {each["row_number"] for each in result["rejections"]} == {1, 2}
    assert "try again tomorrow" in result["rejections"][0]["detail"]


@pytest.mark.django_db(transaction=True)
def test_expired_snapshots_and_history_are_deleted(deployment: Deployment, settings: Any) -> None:
    deployment.take(measured(NOW))
    deployment.collect()
    deployment.travel(2 * DAY)
    deployment.prune()
    deployment.travel(settings.STATS_RETENTION)
    deployment.prune()
    deployment.collect()
    assert deployment.client.get(STATS, {"at": text(NOW)}).status_code == 404
    (point,) = deployment.points(NOW - 34 * MINUTE, NOW, "1h")
    assert point["is_gap"]


def test_a_row_of_an_unknown_kind_is_rejected(deployment: Deployment) -> None:
    rows = [
        agent_row(NOW, kind="agent"),
        workspace_row(1, kind="workspace"),
        workspace_row(2, kind="cat"),
        workspace_row(3, kind=["agent"]),
        workspace_row(3, kind=None),
    ]
    result = deployment.send(*rows)
    assert (result["accepted"], result["duplicates"]) == (2, 0)
    rejected = [(each["row_number"], each["field"]) for each in result["rejections"]]
    assert rejected == [(n, "kind") for n in (3, 4, 5)]


def state(build: int | None, at: str | None = None, **members: Any) -> dict[str, Any]:
    return workspace_row(1, build_number=build, job_updated_at=at, **members)


def take_in_any_order(deployment: Deployment, *states: dict[str, Any]) -> list[dict[str, Any]]:
    """Sends the states of four workspaces in each order, together and one by one."""
    sent = []
    for number, together in enumerate((True, True, False, False)):
        rows = [row | workspace_row(number, build_number=row["build_number"]) for row in states]
        rows = rows[:: -1 if number % 2 else 1]
        for batch in [rows] if together else [[row] for row in rows]:
            deployment.take(*batch, kind="workspace")
        sent += rows
    return sent


EARLY, LATE = "2026-05-04T12:00:00Z", "2026-05-04T12:00:01Z"
DONE = {"job_started_at": EARLY, "job_completed_at": EARLY}
RUNNING = {**DONE, "transition": "start"}
STOPPED = {**DONE, "transition": "stop"}


@pytest.mark.parametrize(
    ("older", "newer"),
    [
        (state(1, LATE, **RUNNING), state(2, EARLY, **STOPPED)),
        (state(1, EARLY, **RUNNING), state(1, LATE, **STOPPED)),
        (state(1, None, transition="start"), state(1, LATE, **STOPPED)),
        (state(1), state(1, **STOPPED)),
        (state(None, **RUNNING), state(0, **STOPPED)),
    ],
)
def test_the_newest_state_of_a_workspace_wins_in_any_order(
    deployment: Deployment, older: Any, newer: Any
) -> None:
    take_in_any_order(deployment, older, newer)
    found = deployment.collect()["workspaces"]
    assert [found[name] for name in ("stopped", "running", "pending", "building")] == [4, 0, 0, 0]


@pytest.mark.parametrize(
    "deletion",
    [
        state(None, deleted=True),
        state(2, deleted=True),
        state(2, EARLY, deleted=True),
        state(1, EARLY, deleted=True),
        state(3, deleted=True),
    ],
)
def test_a_deleted_workspace_stays_deleted(
    deployment: Deployment, deletion: dict[str, Any]
) -> None:
    rows = take_in_any_order(deployment, deletion, state(2, LATE, **RUNNING))
    assert deployment.counts(*rows, kind="workspace") == (0, len(rows), 0)
    assert not any(deployment.collect()["workspaces"][name] for name in ("running", "pending"))
