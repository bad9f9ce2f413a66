"""GET /api/v2/deployment/stats?at= and /deployment/stats/history, and the ladder below them."""

from __future__ import annotations

import random
from datetime import datetime, timedelta
from itertools import batched
from typing import Any

import pytest

from deployment.stats.figures import P50, P95
from deployment.stats.ingest import ingest
from deployment.stats.ladder import build_rungs, cells
from deployment.stats.models import Rung, StaleSpan
from deployment.stats.percentiles import exact
from deployment.stats.retention import prune_stats
from deployment.stats.services import collect_snapshot
from tests.support.client import APIClient
from tests.support.factories import utc
from tests.support.stats_rows import agent_row, workspace_row

STATS = "/api/v2/deployment/stats"
URL = f"{STATS}/history"
NOON = utc(2026, 5, 4, 12)
MINUTE = timedelta(minutes=1)


def take(*rows: dict[str, Any], now: datetime, kind: str = "agent") -> None:
    assert not ingest(enumerate(rows), now=now, kind=kind).rejected


def at(minutes: float) -> datetime:
    return NOON + minutes * MINUTE


def text(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")


def points(client: APIClient, **asked: str) -> list[dict[str, Any]]:
    answer = client.get(URL, asked)
    assert answer.status_code == 200, answer.content
    found: list[dict[str, Any]] = answer.json()["points"]
    return found


def test_the_snapshot_at_or_before_a_time_is_found(owner: APIClient) -> None:
    for minute in (0, 5):
        collect_snapshot(at(minute))
    for asked, found in ((0, 0), (4.9, 0), (5, 5), (90, 5)):
        answer = owner.get(STATS, {"at": text(at(asked))})
        assert answer.json()["collected_at"] == text(at(found))


def test_before_the_first_snapshot_nothing_is_found(owner: APIClient) -> None:
    collect_snapshot(NOON)
    answer = owner.get(STATS, {"at": text(at(-1))})
    assert answer.status_code == 404
    assert "not found" in answer.json()["message"]


def test_a_past_snapshot_has_an_etag_and_both_wires(owner: APIClient) -> None:
    collect_snapshot(NOON)
    asked = {"at": text(NOON)}
    etag = owner.get(STATS, asked).headers["ETag"]
    assert owner.get(STATS, asked, headers={"If-None-Match": etag}).status_code == 304
    answer = owner.get(STATS, asked, headers={"Coder-Wire": "coderd"}).json()
    assert answer["workspaces"]["connection_latency_ms"] == {"P50": -1, "P95": -1}


@pytest.mark.parametrize(
    ("url", "asked", "field"),
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
        (URL, {"since": "2026-01-01T00:00:00Z", "step": "5m"}, "step"),
        (URL, {"since": "2026-01-01T00:00:00Z", "until": "2026-01-01T01:00:00Z"}, "step"),
    ],
)
def test_a_bad_parameter_is_named(
    owner: APIClient, url: str, asked: dict[str, str], field: str
) -> None:
    answer = owner.get(url, asked)
    assert answer.status_code == 400
    assert [entry["field"] for entry in answer.json()["validations"]] == [field]


def test_members_may_not_read_history(
    auditor: APIClient, member: APIClient, anonymous: APIClient
) -> None:
    statuses = [client.get(URL).status_code for client in (auditor, member, anonymous)]
    assert statuses == [200, 403, 401]


def test_a_step_without_a_snapshot_is_a_gap(owner: APIClient) -> None:
    take(workspace_row(1), now=NOON, kind="workspace")
    for minute in (0, 12):
        collect_snapshot(at(minute))
    found = points(owner, since=text(at(0)), until=text(at(15)), step="5m")
    assert [point["at"] for point in found] == [text(at(m)) for m in (0, 5, 10)]
    assert found[1] == {"at": text(at(5)), "gap": True}
    assert found[0]["workspaces"]["pending"] == 1
    assert found[2]["session_count"] == {
        "jetbrains": 0,
        "reconnecting_pty": 0,
        "ssh": 0,
        "vscode": 0,
    }


def test_a_step_has_the_newest_snapshots_counts_and_its_own_traffic(owner: APIClient) -> None:
    for minute in (0, 1, 2):
        row = agent_row(
            at(minute),
            rx_bytes=10**minute,
            connection_median_latency_ms=10**minute,
            session_count_ssh=minute,
        )
        take(row, now=at(minute))
        collect_snapshot(at(minute))
    (point,) = points(owner, since=text(at(0)), until=text(at(5)), step="5m")
    assert point["session_count"]["ssh"] == 2
    assert point["workspaces"]["rx_bytes"] == 111
    assert point["workspaces"]["connection_latency_ms"]["p50"] == pytest.approx(10, rel=0.01)


def test_the_range_is_widened_to_even_steps(owner: APIClient) -> None:
    asked = {"since": text(at(3)), "until": text(at(61)), "step": "1h"}
    answer = owner.get(URL, asked).json()
    assert (answer["since"], answer["until"]) == (text(at(0)), text(at(120)))
    assert answer["step"] == 3_600_000_000_000
    assert len(answer["points"]) == 2


@pytest.mark.parametrize(
    ("days", "step"),
    [(1, timedelta(minutes=1)), (5, timedelta(minutes=5)), (365, timedelta(days=1))],
)
def test_the_step_fits_the_range_unless_it_is_named(
    owner: APIClient, days: int, step: timedelta
) -> None:
    until = datetime.now(NOON.tzinfo)
    answer = owner.get(URL, {"since": text(until - timedelta(days=days))}).json()
    assert answer["step"] == step // timedelta(microseconds=1) * 1000
    assert len(answer["points"]) <= 2_000


def three_days(chance: random.Random) -> list[dict[str, Any]]:
    """Rows and snapshots of three days, with hours of silence."""
    rows = [
        agent_row(
            at(chance.choice([chance.uniform(0, 200), chance.uniform(3000, 3200)])),
            agent=chance.randrange(9),
            rx_bytes=chance.randrange(1000),
            connection_median_latency_ms=chance.lognormvariate(3, 2),
        )
        for _ in range(200)
    ]
    rows.sort(key=lambda row: str(row["created_at"]))
    for batch in batched(rows, 10):
        moment = created(batch[-1])
        take(*batch, now=moment)
        collect_snapshot(moment)
    return rows


def created(row: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(row["created_at"])


@pytest.mark.django_db
@pytest.mark.parametrize("minutes", [1, 5, 15, 60, 180, 1440])
def test_every_step_adds_up_to_the_rows_in_it(minutes: int) -> None:
    rows = three_days(random.Random(3))  # noqa: S311 - the same rows each time
    build_rungs(at(5000))
    assert not StaleSpan.objects.exists()
    span = minutes * MINUTE
    found = cells(utc(2026, 5, 4), utc(2026, 5, 9), span=span)
    assert sum(cell.row_count for cell in found) == len(rows)
    for cell in found:
        inside = [row for row in rows if cell.start <= created(row) < cell.start + span]
        latencies = [row["connection_median_latency_ms"] for row in inside]
        assert cell.rx_bytes == sum(row["rx_bytes"] for row in inside)
        for fraction in (P50, P95):
            right = exact(latencies, fraction)
            assert cell.percentile(fraction) == pytest.approx(right, rel=0.01)


@pytest.mark.django_db
def test_history_is_the_same_before_and_after_the_rungs_are_built() -> None:
    three_days(random.Random(4))  # noqa: S311 - the same rows each time
    since, until = utc(2026, 5, 4), utc(2026, 5, 9)
    spans = [MINUTE * minutes for minutes in (5, 60, 1440)]
    before = [cells(since, until, span=span) for span in spans]
    build_rungs(at(3100))
    assert [cells(since, until, span=span) for span in spans] == before
    build_rungs(at(5000))
    assert [cells(since, until, span=span) for span in spans] == before


@pytest.mark.django_db
def test_a_late_row_reaches_every_rung() -> None:
    collect_snapshot(at(7))
    build_rungs(at(2000))
    take(agent_row(at(6), rx_bytes=5, connection_median_latency_ms=1), now=at(2000))
    build_rungs(at(2000))
    assert [int(rx) for rx in Rung.objects.values_list("rx_bytes", flat=True)] == [5, 5, 5]


@pytest.mark.django_db
def test_rungs_outlive_their_minutes() -> None:
    take(agent_row(at(6), rx_bytes=5, connection_median_latency_ms=1), now=at(7))
    collect_snapshot(at(7))
    build_rungs(at(2000))
    prune_stats(NOON + timedelta(days=40))
    (cell,) = cells(utc(2026, 5, 4), utc(2026, 5, 5), span=timedelta(hours=1))
    assert cell.rx_bytes == 5
