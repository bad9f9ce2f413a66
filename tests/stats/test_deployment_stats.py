"""GET /api/v2/deployment/stats."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.api.client import APIClient
from tests.support.factories import make_key, make_user
from tests.support.stats_rows import NOW, SECOND, STATS, Deployment, agent_row, text, workspace_row

SNAPSHOT = {
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
def collected(deployment: Deployment) -> Deployment:
    kinds = ("vscode", "jetbrains", "reconnecting_pty", "ssh")
    members: dict[str, Any] = {f"session_count_{kind}": n for n, kind in enumerate(kinds, 1)}
    members |= {"rx_bytes": 10, "tx_bytes": 20, "connection_median_latency_ms": 12.5}
    deployment.take(agent_row(NOW, **members))
    deployment.take(workspace_row(1), kind="workspace")
    deployment.collect()
    return deployment


def test_the_newest_snapshot_is_returned(collected: Deployment) -> None:
    auditor = APIClient(token=make_key(make_user("auditor")).token)
    answer = auditor.get(STATS)
    assert answer.status_code == 200
    assert answer.json() == SNAPSHOT
    assert answer.headers["Cache-Control"] == "private, no-cache"


@pytest.mark.parametrize("parameters", [{}, {"at": text(NOW)}])
def test_answers_have_an_etag_and_the_names_of_their_wire(
    collected: Deployment, parameters: dict[str, str]
) -> None:
    client = collected.client
    etag = client.get(STATS, parameters).headers["ETag"]
    assert client.get(STATS, parameters, headers={"If-None-Match": etag}).status_code == 304
    answer = client.get(STATS, parameters, headers={"Coderapi-Wire-Format": "coderd"}).json()
    assert answer["workspaces"]["connection_latency_ms"] == {"P50": 12.5, "P95": 12.5}
    collected.travel(30 * SECOND)
    collected.collect()
    newest = collected.client.get(STATS, headers={"If-None-Match": etag})
    assert newest.status_code == 200


def test_stats_are_still_processing_before_the_first_snapshot(owner: APIClient) -> None:
    answer = owner.get(STATS)
    assert answer.status_code == 400
    assert "still processing" in answer.json()["message"]


def test_the_snapshot_at_or_before_a_time_is_found(deployment: Deployment) -> None:
    first = deployment.collect()
    deployment.travel(300 * SECOND)
    second = deployment.collect()
    expected = {0: first, 299: first, 300: second, 9000: second}
    for seconds, snapshot in expected.items():
        answer = deployment.at(NOW + seconds * SECOND)
        assert answer["collected_at"] == snapshot["collected_at"]
    earlier = deployment.client.get(STATS, {"at": text(NOW - SECOND)})
    assert earlier.status_code == 404
    assert "not found" in earlier.json()["message"]
