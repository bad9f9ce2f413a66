from __future__ import annotations

import io
import random
import sys
import uuid
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from deployment.stats.importing import LONGEST_LINE
from deployment.stats.models import AgentStat, Snapshot, WorkspaceState
from jobs.models import JobRun
from tests.client import APIClient
from tests.stats_rows import Reference, agent_row, reference_workspaces, workspace_row


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))
    return path


def rejected(path: Path) -> list[dict[str, Any]]:
    lines = path.with_name(path.name + ".rejected").read_bytes().splitlines()
    return [orjson.loads(line) for line in lines]


def many_agent_rows(chance: random.Random, now: datetime) -> list[dict[str, Any]]:
    """100,000 rows of 500 agents over the last 20 minutes."""
    return [
        agent_row(
            now - timedelta(microseconds=chance.randrange(20 * 60 * 1_000_000)),
            agent=chance.randrange(500),
            id=str(uuid.UUID(int=chance.getrandbits(128))),
            rx_bytes=chance.randrange(10**9),
            tx_bytes=chance.randrange(10**6),
            connection_median_latency_ms=chance.choice([-1, 0, chance.lognormvariate(3, 1)]),
            session_count_vscode=chance.randrange(3),
            session_count_ssh=chance.randrange(5),
        )
        for _ in range(100_000)
    ]


def many_workspaces(chance: random.Random) -> list[dict[str, Any]]:
    clock = ["2026-05-04T12:00:00Z", None]
    return [
        workspace_row(
            number,
            deleted=chance.random() < 0.1,
            transition=chance.choice(["start", "stop", "delete"]),
            job_started_at=chance.choice(clock),
            job_canceled_at=chance.choice([None, *clock]),
            job_completed_at=chance.choice(clock),
            error=chance.choice([None, "", "broke"]),
        )
        for number in range(500)
    ]


@pytest.mark.django_db
def test_large_files_come_to_the_right_figures(owner: APIClient, tmp_path: Path) -> None:
    chance, now = random.Random(7), timezone.now()  # noqa: S311 - the same rows each time
    rows, states = many_agent_rows(chance, now), many_workspaces(chance)
    call_command("import_agent_stats", str(write(tmp_path / "rows.jsonl", rows)))
    call_command("import_workspaces", str(write(tmp_path / "states.jsonl", states)))
    call_command("collect_deployment_stats", "--at", now.isoformat())
    answer = owner.get("/api/v2/deployment/stats").json()
    expected = Reference(rows, now)
    workspaces = answer["workspaces"]
    assert answer["session_count"] == expected.sessions()
    assert workspaces["rx_bytes"] == expected.traffic("rx_bytes")
    assert workspaces["tx_bytes"] == expected.traffic("tx_bytes")
    assert workspaces["connection_latency_ms"] == {
        "p50": pytest.approx(expected.percentile(0.5), rel=0.01),
        "p95": pytest.approx(expected.percentile(0.95), rel=0.01),
    }
    for name, count in reference_workspaces(states).items():
        assert workspaces[name] == count, name


@pytest.mark.django_db
def test_bad_lines_are_set_aside_with_number_and_reason(tmp_path: Path) -> None:
    good = orjson.dumps(agent_row(timezone.now()))
    path = tmp_path / "rows.jsonl"
    bad = [b"{", b'{"id": 7}', b"\xff", b"[" * 100_000, b'"' + b"x" * (2 * LONGEST_LINE) + b'"']
    path.write_bytes(b"\n".join([good, *bad, b"", good]))
    said = call_command("import_agent_stats", str(path))
    assert said.startswith("1 agent rows taken in, 1 known already, 5 bad")
    assert [entry["line"] for entry in rejected(path)] == [2, 3, 4, 5, 6]
    assert rejected(path)[1]["field"] == "id"
    assert rejected(path)[0]["text"] == "{"
    assert AgentStat.objects.count() == 1


@pytest.mark.django_db
def test_a_clean_file_leaves_no_file_of_bad_lines(tmp_path: Path) -> None:
    path = write(tmp_path / "states.jsonl", [workspace_row(1)])
    call_command("import_workspaces", str(path))
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.django_db
def test_rows_come_through_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    source = io.TextIOWrapper(io.BytesIO(orjson.dumps(workspace_row(1))))
    monkeypatch.setattr(sys, "stdin", source)
    call_command("import_workspaces", "-")
    assert WorkspaceState.objects.count() == 1


@pytest.mark.parametrize("name", ["import_agent_stats", "import_workspaces"])
def test_a_missing_file_is_named(name: str) -> None:
    with pytest.raises(CommandError, match=r"/nowhere/rows\.jsonl: No such file"):
        call_command(name, "/nowhere/rows.jsonl")


@pytest.mark.django_db
def test_a_snapshot_is_taken_once_and_recorded() -> None:
    said = call_command("collect_deployment_stats")
    assert "0 workspaces running" in said
    assert Snapshot.objects.count() == 1
    assert JobRun.objects.of("collect_deployment_stats").get().error == ""


@pytest.mark.django_db
def test_a_moment_that_is_named_again_has_one_snapshot() -> None:
    at = (timezone.now() - timedelta(minutes=1)).isoformat()
    for _ in range(2):
        call_command("collect_deployment_stats", "--at", at)
    assert Snapshot.objects.get().collected_at.isoformat() == at


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--at", "noon"], "not a time"),
        (["--every", "0s"], "less than a second"),
        (["--every", "often"], "often"),
        (["--loop", "--at", "2026-01-01T00:00:00Z"], "does not go with --loop"),
        (["--at", "9999-01-01T00:00:00Z"], "still to come"),
        (["--at", "2001-01-01T00:00:00Z"], "Rows are kept from"),
    ],
)
@pytest.mark.django_db
def test_what_makes_no_sense_is_refused(arguments: list[str], complaint: str) -> None:
    with pytest.raises(CommandError, match=complaint):
        call_command("collect_deployment_stats", *arguments)
