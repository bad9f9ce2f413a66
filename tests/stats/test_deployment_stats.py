"""GET /api/v2/deployment/stats."""

from __future__ import annotations

from datetime import timedelta

import pytest

from deployment.stats.ingest import ingest
from deployment.stats.services import collect_snapshot
from tests.support.client import APIClient
from tests.support.factories import utc
from tests.support.stats_rows import agent_row, workspace_row

URL = "/api/v2/deployment/stats"
NOW = utc(2026, 5, 4, 12, 34).replace(second=56)
FIGURES = {
    "aggregated_from": "2026-05-04T12:19:56Z",
    "collected_at": "2026-05-04T12:34:56Z",
    "next_update_at": "2026-05-04T12:35:26Z",
    "session_count": {"jetbrains": 2, "reconnecting_pty": 3, "ssh": 4, "vscode": 1},
    "workspaces": {
        "building": 0,
        "connection_latency_ms": {"p50": 12.5, "p95": 12.5},
        "failed": 0,
        "pending": 1,
        "running": 0,
        "rx_bytes": 10,
        "stopped": 0,
        "tx_bytes": 20,
    },
}


@pytest.fixture
def snapshot(db: None) -> None:
    row = agent_row(
        NOW,
        rx_bytes=10,
        tx_bytes=20,
        connection_median_latency_ms=12.5,
        session_count_vscode=1,
        session_count_jetbrains=2,
        session_count_reconnecting_pty=3,
        session_count_ssh=4,
    )
    ingest([(1, row)], now=NOW, kind="agent")
    ingest([(1, workspace_row(1))], now=NOW, kind="workspace")
    collect_snapshot(NOW)


@pytest.mark.usefixtures("snapshot")
def test_the_newest_snapshot_is_answered(auditor: APIClient) -> None:
    answer = auditor.get(URL)
    assert answer.status_code == 200
    assert answer.json() == FIGURES
    assert answer.headers["Cache-Control"] == "private, no-cache"


@pytest.mark.usefixtures("snapshot")
def test_coderd_wire_writes_percentiles_with_capitals(owner: APIClient) -> None:
    answer = owner.get(URL, headers={"Coder-Wire": "coderd"}).json()
    assert answer["workspaces"]["connection_latency_ms"] == {"P50": 12.5, "P95": 12.5}


def test_before_the_first_snapshot_stats_are_still_processing(owner: APIClient) -> None:
    answer = owner.get(URL)
    assert answer.status_code == 400
    assert "still processing" in answer.json()["message"]


@pytest.mark.usefixtures("snapshot")
def test_a_known_answer_is_not_sent_again(owner: APIClient) -> None:
    etag = owner.get(URL).headers["ETag"]
    assert owner.get(URL, headers={"If-None-Match": etag}).status_code == 304
    collect_snapshot(NOW + timedelta(seconds=30))
    assert owner.get(URL, headers={"If-None-Match": etag}).status_code == 200


@pytest.mark.usefixtures("snapshot")
def test_members_may_not_read_stats(member: APIClient, anonymous: APIClient) -> None:
    assert member.get(URL).status_code == 403
    assert anonymous.get(URL).status_code == 401
