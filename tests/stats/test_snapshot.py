"""The statistics of a snapshot, compared with its rows."""

from __future__ import annotations

import itertools
from datetime import datetime, timedelta
from typing import Any
from unittest.mock import patch

import pytest
from django.core.management import CommandError
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase

from stats import statistics
from stats.models import Snapshot
from tests.support.commands import run
from tests.support.stats_rows import (
    HOUR,
    MINUTE,
    NOW,
    SECOND,
    SESSIONS,
    WINDOW,
    Deployment,
    agent_row,
    agrees,
    deployment_at,
    reference_workspaces,
    text,
    workspace_row,
)

MICROSECOND = timedelta(microseconds=1)


def test_two_agents_are_added_up(deployment: Deployment) -> None:
    sent = {"rx_bytes": 1, "tx_bytes": 1, "session_count_vscode": 1}
    deployment.take(
        agent_row(NOW - SECOND, agent=1, connection_median_latency_ms=1, **sent),
        agent_row(NOW - SECOND, agent=2, connection_median_latency_ms=2, **sent),
    )
    found = deployment.collect()
    assert (found["workspaces"]["rx_bytes"], found["workspaces"]["tx_bytes"]) == (2, 2)
    assert found["workspaces"]["connection_latency_ms"] == pytest.approx({"p50": 1.5, "p95": 1.95})
    assert found["session_count"]["vscode"] == 2


@pytest.mark.parametrize("latency", [0, -1, -7.5])
@pytest.mark.parametrize(("experiments", "counted"), [([], 5), (["workspace-usage"], 0)])
@pytest.mark.parametrize("ago", [timedelta(0), 5 * MINUTE])
def test_traffic_without_a_latency_does_not_count_with_workspace_usage(
    deployment: Deployment,
    settings: Any,
    latency: float,
    experiments: list[str],
    counted: int,
    ago: timedelta,
) -> None:
    settings.EXPERIMENTS = experiments
    row = agent_row(NOW - ago, rx_bytes=5, tx_bytes=5, connection_median_latency_ms=latency)
    deployment.take(row)
    found = deployment.collect()["workspaces"]
    assert (found["rx_bytes"], found["tx_bytes"]) == (counted, counted)
    assert found["connection_latency_ms"] == {"p50": -1, "p95": -1}
    (point,) = deployment.points(NOW, NOW + MINUTE, "1h")
    assert point["workspaces"]["rx_bytes"] == counted


def test_without_rows_values_are_zero_and_latency_is_minus_one(deployment: Deployment) -> None:
    found = deployment.collect()
    assert found["rows"] == found["workspaces"]["rx_bytes"] == found["workspaces"]["running"] == 0
    assert found["workspaces"]["connection_latency_ms"] == {"p50": -1, "p95": -1}
    assert found["session_count"] == dict.fromkeys(SESSIONS, 0)


@pytest.mark.parametrize("at", [NOW, NOW.replace(second=0), NOW.replace(second=59, minute=59)])
def test_the_window_is_open_at_its_start_and_closed_at_its_end(
    deployment: Deployment, at: datetime
) -> None:
    inside = [timedelta(0), MICROSECOND, WINDOW - MICROSECOND]
    outside = [-MICROSECOND, WINDOW, WINDOW + MICROSECOND]
    deployment.travel(at)
    for agent, distance in enumerate([*inside, *outside]):
        sent = {"rx_bytes": 2**agent, "session_count_ssh": 2**agent}
        deployment.take(
            agent_row(at - distance, agent=agent, connection_median_latency_ms=1, **sent)
        )
    found = deployment.collect()
    assert found["workspaces"]["rx_bytes"] == found["session_count"]["ssh"] == 1 + 2 + 4
    assert found["rows"] == len(inside)


def test_the_greatest_id_is_the_newest_among_rows_of_the_same_time(deployment: Deployment) -> None:
    rows = [agent_row(NOW, session_count_ssh=count) for count in range(5)]
    deployment.take(*rows)
    greatest = max(rows, key=lambda row: str(row["id"]))
    assert deployment.collect()["session_count"]["ssh"] == greatest["session_count_ssh"]


@pytest.mark.parametrize("count", [2**53 + 1, 2**62 + 1, 2**63 - 1])
def test_sums_are_exact_and_limited_to_64_bits(deployment: Deployment, count: int) -> None:
    members = {"rx_bytes": count, "session_count_ssh": count, "connection_median_latency_ms": 1}
    deployment.take(*(agent_row(NOW, agent=n, **members) for n in range(3)))
    found = deployment.collect()
    sums = found["workspaces"]["rx_bytes"], found["session_count"]["ssh"]
    assert sums == (min(3 * count, 2**63 - 1),) * 2
    (point,) = deployment.points(NOW - MINUTE, NOW, "1h")
    assert point["workspaces"]["rx_bytes"] == point["session_count"]["ssh"] == sums[0]


def test_a_moment_has_one_snapshot_that_never_changes(deployment: Deployment) -> None:
    first = deployment.collect()
    deployment.travel(SECOND)
    deployment.take(agent_row(NOW - SECOND, session_count_ssh=1))
    assert deployment.collect(NOW)["session_count"] == first["session_count"]
    assert deployment.collect()["session_count"]["ssh"] == 1
    with pytest.raises(CommandError, match="must not be in the future"):
        deployment.collect(deployment.now + SECOND)


def test_without_usage_stats_only_workspaces_are_counted(
    deployment: Deployment, settings: Any
) -> None:
    deployment.take(agent_row(NOW, session_count_ssh=1, connection_median_latency_ms=1, rx_bytes=1))
    deployment.take(workspace_row(1), kind="workspace")
    settings.STATS_USAGE_ENABLED = False
    found = deployment.collect()
    assert (found["workspaces"]["pending"], found["workspaces"]["rx_bytes"]) == (1, 0)
    assert found["session_count"]["ssh"] == 0
    assert deployment.counts(agent_row(NOW)) == (0, 0, 1)


def test_with_workspace_usage_sessions_come_from_the_newest_full_minute(
    deployment: Deployment, settings: Any
) -> None:
    settings.EXPERIMENTS = ["Workspace-Usage"]
    minute = NOW.replace(second=0)
    deployment.take(
        agent_row(minute - 61 * SECOND, session_count_ssh=50, usage=True),
        agent_row(minute - 60 * SECOND, session_count_ssh=1, usage=True),
        agent_row(minute - MICROSECOND, session_count_ssh=2, usage=True),
        agent_row(minute - SECOND, session_count_ssh=70),
        agent_row(minute, session_count_ssh=90, usage=True),
        agent_row(minute - 300 * SECOND, agent=2, session_count_ssh=5, usage=True),
        agent_row(NOW - WINDOW, agent=3, session_count_ssh=30, usage=True),
    )
    assert deployment.collect()["session_count"]["ssh"] == 1 + 2 + 5


CLOCK = "2026-05-04T12:00:00+00:00"
STATES = [
    {
        "deleted": deleted,
        "transition": transition,
        "job_started_at": started,
        "job_canceled_at": canceled,
        "job_completed_at": completed,
        "error": error,
    }
    for deleted, transition, started, canceled, completed, error in itertools.product(
        (False, True), ("start", "stop", "delete"), *[(None, CLOCK)] * 3, (None, "", "broke")
    )
]


def test_workspaces_are_counted_by_state(deployment: Deployment) -> None:
    for number, state in enumerate(STATES):
        rows = [workspace_row(2**n + 2**20 * number, **state) for n in range(number % 3 + 1)]
        deployment.take(*rows, kind="workspace")
    weighted = [state for number, state in enumerate(STATES) for _ in range(number % 3 + 1)]
    found = deployment.collect()["workspaces"]
    expected = reference_workspaces(weighted)
    assert {name: found[name] for name in expected} == expected


# Times around the edges of a window and of its minutes. Some are in the future.
moments = st.one_of(
    st.timedeltas(min_value=timedelta(minutes=-18), max_value=timedelta(minutes=4)),
    st.sampled_from([-WINDOW, timedelta(0), -timedelta(seconds=56), -WINDOW + 4 * SECOND]).flatmap(
        lambda edge: st.sampled_from([edge - MICROSECOND, edge, edge + MICROSECOND])
    ),
).map(lambda distance: NOW + distance)
sent_rows = st.builds(
    agent_row,
    moments,
    agent=st.integers(1, 4),
    id=st.uuids().map(str),
    rx_bytes=st.integers(0, 2**40),
    tx_bytes=st.integers(0, 2**40),
    connection_median_latency_ms=st.one_of(
        st.sampled_from([-1, 0]), st.floats(0.001, 60_000, allow_nan=False)
    ),
    session_count_vscode=st.integers(0, 9),
    session_count_ssh=st.integers(0, 9),
    session_counts=st.none()
    | st.dictionaries(
        st.sampled_from(["vscode", "ssh", "cursor", "code_server", "zed", "mine"]),
        st.integers(0, 9),
    ),
    usage=st.booleans(),
)


@st.composite
def histories(draw: st.DrawFn) -> list[tuple[timedelta, list[dict[str, Any]]]]:
    """Draws batches with their delays. Rows are late, early, repeated and in any order."""
    rows = draw(st.lists(sent_rows, max_size=25, unique_by=lambda row: row["id"]))
    repeated = draw(st.lists(st.sampled_from(rows), max_size=5)) if rows else []
    arriving = draw(st.permutations(rows + repeated))
    cuts = sorted(draw(st.lists(st.integers(0, len(arriving)), max_size=3)))
    bounds = itertools.pairwise([0, *cuts, len(arriving)])
    delays = st.timedeltas(min_value=timedelta(0), max_value=timedelta(minutes=2))
    return [(draw(delays), arriving[start:end]) for start, end in bounds]


@pytest.mark.slow
class Statistics(TestCase):
    @examples(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(
        history=histories(),
        ago=st.timedeltas(timedelta(0), timedelta(minutes=3)),
        exact=st.booleans(),
        between=st.booleans(),
    )
    def test_statistics_agree_with_the_rows(
        self,
        history: list[tuple[timedelta, list[dict[str, Any]]]],
        ago: timedelta,
        exact: bool,
        between: bool,
    ) -> None:
        accepted: dict[str, dict[str, Any]] = {}
        limit = statistics.MAX_EXACT_ROWS if exact else 0
        with deployment_at() as deployment, patch.object(statistics, "MAX_EXACT_ROWS", limit):
            for delay, rows in history:
                deployment.travel(delay)
                rejected = {r["row_number"] for r in deployment.send(*rows)["rejections"]}
                accepted |= {r["id"]: r for i, r in enumerate(rows, 1) if i not in rejected}
                if between:
                    deployment.collect()
            deployment.travel(MICROSECOND)
            # A snapshot that was taken before the last rows is not taken again.
            taken = {*Snapshot.objects.values_list("collected_at", flat=True)}
            for at in {deployment.now, deployment.now - ago} - taken:
                agrees(deployment.collect(at), [*accepted.values()], error=1e-9 if exact else 0.01)

    @examples(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(rows=st.lists(sent_rows, max_size=12, unique_by=lambda row: row["id"]))
    def test_usage_sessions_agree_with_the_rows(self, rows: list[dict[str, Any]]) -> None:
        with deployment_at(NOW + 4 * MINUTE) as deployment:
            deployment.take(*rows)
            with self.settings(EXPERIMENTS=["workspace-usage"]):
                found = deployment.collect(NOW)
        agrees(found, rows, from_usage=True)


def test_a_workspace_without_a_state_runs_while_its_agents_report(deployment: Deployment) -> None:
    """The snapshots of the past and of the present follow one rule, so charts have no cliff."""
    past = NOW - HOUR
    rows = [agent_row(moment, agent=n) for moment in (past, NOW) for n in range(3)]
    deployment.take(*rows)
    deployment.take(workspace_row(2), kind="workspace")
    run("collect_deployment_stats", "--since", text(past - HOUR), "--every", "5m")
    expected = {"pending": 1, "building": 0, "running": 2, "failed": 0, "stopped": 0}
    found = deployment.collect()["workspaces"]
    assert {state: found[state] for state in expected} == expected
    assert deployment.at(past + 5 * MINUTE)["workspaces"]["running"] == 3
    # The agents have reported since, but not in this window.
    assert deployment.collect(NOW - 30 * MINUTE)["workspaces"]["running"] == 0
    deployment.travel(NOW + HOUR)
    assert deployment.collect()["workspaces"]["running"] == 0
