"""Imported rows of the past appear in history and charts."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError

from tests.support.api.client import signed_in
from tests.support.commands import run, write_lines
from tests.support.stats_rows import (
    HOUR,
    MINUTE,
    NOW,
    SECOND,
    Deployment,
    agent_row,
    agrees,
    text,
    workspace_row,
)

DAY = 24 * HOUR
FIRST = NOW.replace(hour=0, minute=0, second=0) - 9 * DAY


def three_days() -> list[dict[str, Any]]:
    """Returns rows of three agents every 10 minutes, except for four hours of each night."""
    return [
        agent_row(
            FIRST + n * 10 * MINUTE,
            agent=agent,
            rx_bytes=agent,
            connection_median_latency_ms=10 * agent,
            session_count_ssh=agent,
        )
        for n in range(3 * 144)
        for agent in (1, 2, 3)
        if n % 144 >= 24
    ]


@pytest.mark.slow
def test_an_import_of_three_days_appears_in_history_and_charts(
    deployment: Deployment, tmp_path: Path
) -> None:
    rows = three_days()
    message = run("import_agent_stats", write_lines(tmp_path / "rows.jsonl", *rows))
    assert message.startswith(f"{len(rows):,} agent rows imported, 0 duplicates.")
    assert message.endswith(" 720 snapshots backfilled.")
    found = deployment.points(FIRST, FIRST + 3 * DAY, "1h")
    assert [point.get("is_gap", False) for point in found] == ([True] * 4 + [False] * 20) * 3
    for point in found:
        if not point.get("is_gap"):
            assert point["session_count"]["ssh"] == 6
            assert point["workspaces"]["rx_bytes"] == 36
            assert point["workspaces"]["running"] == 3
            p50 = point["workspaces"]["connection_latency_ms"]["p50"]
            assert p50 == pytest.approx(20, rel=0.01)
    snapshot = deployment.at(FIRST + 5 * HOUR)
    agrees({**snapshot, "rows": 3}, rows)
    assert snapshot["collected_at"] == text(FIRST + 5 * HOUR - SECOND)
    assert_charts_show_no_unknown_states(deployment)


def assert_charts_show_no_unknown_states(deployment: Deployment) -> None:
    deployment.take(workspace_row(1), kind="workspace")
    deployment.collect()
    browser = signed_in(deployment.client.user)
    page = browser.get("/admin/stats/snapshot/timelines/", {"range": "30d"}).text
    workspaces = page[page.index("Workspaces by state") : page.index("Sessions by application")]
    # The class of each state appears twice: in the legend, and for the current snapshot. The class
    # of `running` appears once more, for the imported days.
    lines = [workspaces.count(f'"chart-line chart-{n}"') for n in (1, 2, 3, 4, 5)]
    assert lines == [2, 2, 3, 2, 2]
    assert "<td>none</td>" in workspaces
    assert "chart-marker" not in page


def test_existing_snapshots_stay_and_a_second_import_changes_nothing(
    deployment: Deployment, tmp_path: Path
) -> None:
    start = NOW.replace(minute=0, second=0) - 3 * HOUR
    rows = [agent_row(start + n * MINUTE, rx_bytes=1) for n in range(60)]
    taken = deployment.collect(start + 7 * MINUTE)
    path = write_lines(tmp_path / "rows.jsonl", *rows)
    assert "11 snapshots backfilled" in run("import_agent_stats", path)
    assert deployment.at(start + 8 * MINUTE)["collected_at"] == taken["collected_at"]
    assert run("import_agent_stats", path) == "0 agent rows imported, 60 duplicates."


def test_second_import_takes_the_snapshots_that_a_stopped_one_did_not(
    deployment: Deployment, tmp_path: Path
) -> None:
    row = agent_row(NOW - 5 * HOUR)
    deployment.take(row)
    message = run("import_agent_stats", write_lines(tmp_path / "rows.jsonl", row))
    assert message.startswith("0 agent rows imported, 1 duplicate. 3 snapshots")
    # A row of the year 9999 does not stop the import.
    last = {**row, "created_at": "9999-12-31T23:59:59.999999Z"}
    with pytest.raises(CommandError, match=r"1 bad, .* is more than 5 minutes in the future"):
        run("import_agent_stats", write_lines(tmp_path / "more.jsonl", agent_row(NOW), last))


def test_the_current_hour_is_backfilled_up_to_its_last_finished_interval(
    deployment: Deployment, tmp_path: Path
) -> None:
    start = NOW.replace(minute=0, second=0)
    rows = [agent_row(start + n * MINUTE, rx_bytes=1) for n in range(35)]
    message = run("import_agent_stats", write_lines(tmp_path / "rows.jsonl", *rows))
    # At 12:34:56, the last finished interval ended at 12:30.
    assert message.endswith(" 6 snapshots backfilled.")
    deployment.collect()
    found = deployment.points(start, start + 35 * MINUTE, "5m")
    assert not any(point.get("is_gap", False) for point in found)
    agrees({**deployment.at(start + 30 * MINUTE), "rows": 15}, rows)


def test_a_command_backfills_snapshots(deployment: Deployment) -> None:
    rows = [agent_row(NOW - 5 * HOUR + n * MINUTE, session_count_ssh=n) for n in range(30)]
    deployment.take(*rows)
    period = ("--since", text(NOW - DAY), "--until", text(NOW - 4 * HOUR - 45 * MINUTE))
    command = ("collect_deployment_stats", *period, "--every", "1m")
    assert run(*command) == "15 snapshots backfilled."
    assert run(*command) == "0 snapshots backfilled."
    snapshot = deployment.at(NOW - 5 * HOUR + 5 * MINUTE)
    agrees({**snapshot, "rows": 5}, rows)


@pytest.mark.django_db(transaction=True)
def test_closed_hours_and_the_future_are_not_backfilled(deployment: Deployment) -> None:
    deployment.take(agent_row(NOW - 2 * DAY), agent_row(NOW))
    deployment.collect()
    deployment.travel(DAY + MINUTE)
    deployment.prune()
    message = run(
        "collect_deployment_stats", "--since", text(NOW - 9 * DAY), "--until", text(NOW + 9 * DAY)
    )
    # The windows of three steps contain the row, and the first step has a snapshot already.
    assert message == "2 snapshots backfilled."


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_history_of_an_imported_month_stays_after_its_raw_rows_are_dropped(
    deployment: Deployment, tmp_path: Path
) -> None:
    moments: list[datetime] = [NOW - timedelta(days=days) for days in range(1, 31)]
    rows = [agent_row(at, rx_bytes=1, connection_median_latency_ms=1) for at in moments]
    run("import_agent_stats", write_lines(tmp_path / "rows.jsonl", *rows))
    since = (NOW - 30 * DAY).replace(hour=0, minute=0, second=0)
    before = deployment.points(since, NOW, "24h")
    assert sum(point.get("workspaces", {}).get("rx_bytes", 0) for point in before) == 30
    deployment.travel(DAY + 2 * MINUTE)
    deployment.prune()
    assert deployment.counts(*rows) == (0, 0, 30)
    assert deployment.points(since, NOW, "24h") == before
