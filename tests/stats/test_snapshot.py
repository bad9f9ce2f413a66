from __future__ import annotations

import itertools
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase

from deployment.stats.figures import agent_figures, usage_sessions, workspace_figures
from deployment.stats.folding import SLICES_KEPT, promote
from deployment.stats.ingest import ingest
from deployment.stats.models import MinuteSum, SliceSum, Snapshot
from deployment.stats.services import SnapshotError, collect_snapshot, prune_stats
from tests.support.factories import utc
from tests.support.stats_rows import (
    SESSIONS,
    WINDOW,
    Reference,
    agent_row,
    reference_workspaces,
    workspace_row,
)

NOW = utc(2026, 5, 4, 12, 34).replace(second=56)
SECOND = timedelta(seconds=1)
MICROSECOND = timedelta(microseconds=1)


def take(*rows: dict[str, Any], now: datetime = NOW, kind: str = "agent") -> None:
    verdicts = ingest(enumerate(rows, 1), now=now, kind=kind)
    assert not verdicts.rejected


@pytest.mark.django_db
def test_two_agents_add_up() -> None:
    sent = {"rx_bytes": 1, "tx_bytes": 1, "session_count_vscode": 1}
    take(
        agent_row(NOW - SECOND, agent=1, connection_median_latency_ms=1, **sent),
        agent_row(NOW - SECOND, agent=2, connection_median_latency_ms=2, **sent),
    )
    figures = agent_figures(NOW)
    assert (figures.rx_bytes, figures.tx_bytes) == (2, 2)
    assert (figures.latency_p50, figures.latency_p95) == pytest.approx((1.5, 1.95))
    assert figures.session_counts["vscode"] == 2


@pytest.mark.django_db
def test_sessions_of_one_agent_are_those_of_its_newest_row() -> None:
    take(
        agent_row(NOW - 2 * SECOND, session_count_vscode=1),
        agent_row(NOW - SECOND, session_count_vscode=1),
    )
    assert agent_figures(NOW).session_counts["vscode"] == 1


@pytest.mark.django_db
@pytest.mark.parametrize("latency", [0, -1, -7.5])
def test_traffic_without_a_measured_latency_does_not_count(latency: float) -> None:
    take(agent_row(NOW, rx_bytes=5, tx_bytes=5, connection_median_latency_ms=latency))
    figures = agent_figures(NOW)
    assert (figures.rx_bytes, figures.tx_bytes, figures.latency_p50) == (0, 0, -1)


@pytest.mark.django_db
def test_nothing_known_is_zeros_and_minus_one() -> None:
    snapshot = collect_snapshot(NOW)
    assert (snapshot.rx_bytes, snapshot.tx_bytes, snapshot.row_count) == (0, 0, 0)
    assert (snapshot.latency_p50, snapshot.latency_p95) == (-1, -1)
    assert snapshot.session_counts == dict.fromkeys(SESSIONS, 0)
    assert snapshot.running == 0


@pytest.mark.django_db
@pytest.mark.parametrize("at", [NOW, NOW.replace(second=0), NOW.replace(second=59, minute=59)])
@pytest.mark.parametrize(
    ("distance", "inside"),
    [
        (timedelta(0), True),
        (-MICROSECOND, False),
        (MICROSECOND, True),
        (WINDOW - MICROSECOND, True),
        (WINDOW, False),
        (WINDOW + MICROSECOND, False),
    ],
)
def test_the_window_is_open_at_its_start_and_closed_at_its_end(
    at: datetime, distance: timedelta, inside: bool
) -> None:
    take(
        agent_row(at - distance, rx_bytes=3, connection_median_latency_ms=1, session_count_ssh=1),
        now=at,
    )
    figures = agent_figures(at)
    assert figures.rx_bytes == (3 if inside else 0)
    assert figures.session_counts["ssh"] == (1 if inside else 0)
    assert figures.row_count == (1 if inside else 0)


@pytest.mark.django_db
def test_among_rows_of_the_same_time_the_greatest_id_is_the_newest() -> None:
    rows = [agent_row(NOW, session_count_ssh=count) for count in range(5)]
    take(*rows)
    greatest = max(rows, key=lambda row: str(row["id"]))
    assert agent_figures(NOW).session_counts["ssh"] == greatest["session_count_ssh"]


@pytest.mark.django_db
def test_sums_beyond_64_bits_stop_at_the_greatest_number() -> None:
    rows = [
        agent_row(NOW, rx_bytes=2**63 - 1, connection_median_latency_ms=1, agent=number)
        for number in range(3)
    ]
    take(*rows)
    assert collect_snapshot(NOW).rx_bytes == 2**63 - 1


@pytest.mark.django_db
@pytest.mark.parametrize("count", [2**53 - 1, 2**53 + 1, 2**62 + 1])
def test_sessions_are_added_up_exactly_up_to_64_bits(count: int) -> None:
    take(*(agent_row(NOW, agent=n, session_count_ssh=count - n) for n in range(3)))
    assert agent_figures(NOW).session_counts["ssh"] == min(3 * count - 3, 2**63 - 1)


@pytest.mark.django_db
def test_the_same_moment_has_one_snapshot() -> None:
    first = collect_snapshot(NOW)
    take(agent_row(NOW - SECOND, session_count_ssh=1))
    assert collect_snapshot(NOW, now=NOW + SECOND) == first
    assert Snapshot.objects.count() == 1


@pytest.mark.django_db
def test_a_moment_to_come_has_no_snapshot() -> None:
    with pytest.raises(SnapshotError, match="still to come"):
        collect_snapshot(NOW + SECOND, now=NOW)


@pytest.mark.django_db
def test_a_moment_whose_rows_are_gone_has_no_snapshot() -> None:
    with pytest.raises(SnapshotError, match="too early: rows are kept for"):
        collect_snapshot(NOW - timedelta(hours=25), now=NOW)


@pytest.mark.django_db
def test_without_usage_stats_only_workspaces_count(settings: Any) -> None:
    take(agent_row(NOW, session_count_ssh=1, connection_median_latency_ms=1, rx_bytes=1))
    take(workspace_row(1), kind="workspace")
    settings.STATS_USAGE_ENABLED = False
    snapshot = collect_snapshot(NOW)
    assert (snapshot.pending, snapshot.rx_bytes, snapshot.latency_p50) == (1, 0, -1)
    assert snapshot.session_counts["ssh"] == 0


@pytest.mark.django_db
def test_with_workspace_usage_sessions_are_those_of_the_newest_full_minute(settings: Any) -> None:
    settings.EXPERIMENTS = ["Workspace-Usage"]
    minute = NOW.replace(second=0)
    take(
        agent_row(minute - 61 * SECOND, session_count_ssh=50, usage=True),
        agent_row(minute - 60 * SECOND, session_count_ssh=1, usage=True),
        agent_row(minute - MICROSECOND, session_count_ssh=2, usage=True),
        agent_row(minute - SECOND, session_count_ssh=70),
        agent_row(minute, session_count_ssh=90, usage=True),
        agent_row(minute - 300 * SECOND, agent=2, session_count_ssh=5, usage=True),
        agent_row(NOW - WINDOW, agent=3, session_count_ssh=30, usage=True),
    )
    assert collect_snapshot(NOW).session_counts["ssh"] == 1 + 2 + 5


def rows_of_two_minutes() -> list[dict[str, Any]]:
    """Rows each second around the window's start and around its end."""
    return [
        agent_row(
            edge + n * SECOND,
            rx_bytes=1,
            connection_median_latency_ms=n % 7,
            session_count_ssh=n % 5,
        )
        for edge in (NOW - WINDOW, NOW)
        for n in range(-60, 60)
    ]


@pytest.mark.django_db
@pytest.mark.parametrize("second", range(0, 60, 7))
def test_a_window_ends_at_any_second_of_a_minute(second: int) -> None:
    rows = rows_of_two_minutes()
    take(*rows, now=NOW + timedelta(minutes=1))
    at = NOW.replace(second=second)
    expected = Reference(rows, at)
    figures = agent_figures(at, most_exact_rows=0)
    assert figures.row_count == len(expected.in_window())
    assert figures.rx_bytes == expected.traffic("rx_bytes")
    assert figures.session_counts == expected.sessions()


@pytest.mark.django_db
def test_what_was_folded_before_there_were_slices_counts() -> None:
    take(*rows_of_two_minutes(), now=NOW + timedelta(minutes=1))
    before = agent_figures(NOW, most_exact_rows=0)
    SliceSum.objects.all().delete()
    MinuteSum.objects.update(sliced_count=0)
    assert agent_figures(NOW, most_exact_rows=0) == before
    later = agent_row(NOW, rx_bytes=1, connection_median_latency_ms=1)
    take(later, now=NOW + timedelta(minutes=1))
    assert agent_figures(NOW, most_exact_rows=0).row_count == before.row_count + 1


@pytest.mark.django_db
def test_slices_go_when_no_snapshot_of_now_needs_them() -> None:
    take(*rows_of_two_minutes(), now=NOW + timedelta(minutes=1))
    before = agent_figures(NOW, most_exact_rows=0)
    prune_stats(NOW + SLICES_KEPT)
    assert SliceSum.objects.exists()
    prune_stats(NOW + 2 * SLICES_KEPT)
    assert not SliceSum.objects.exists()
    assert agent_figures(NOW, most_exact_rows=0) == before


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


@pytest.mark.django_db
@pytest.mark.parametrize("state", STATES, ids=lambda state: "-".join(map(str, state.values())))
def test_each_state_of_a_workspace_counts_where_it_belongs(state: dict[str, Any]) -> None:
    take(workspace_row(1, **state), kind="workspace")
    counted = workspace_figures()
    for name, expected in reference_workspaces([state]).items():
        assert getattr(counted, name) == expected, name


# Times to the microsecond around the edges of a window and of its minutes, some of them ahead.
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
    usage=st.booleans(),
)


@st.composite
def histories(draw: st.DrawFn) -> list[tuple[datetime, list[dict[str, Any]]]]:
    """Batches with the moments that they arrive at: late, early, repeated, in any order."""
    rows = draw(st.lists(sent_rows, max_size=25, unique_by=lambda row: row["id"]))
    repeated = draw(st.lists(st.sampled_from(rows), max_size=5)) if rows else []
    arriving = draw(st.permutations(rows + repeated))
    cuts = sorted(draw(st.lists(st.integers(0, len(arriving)), max_size=3)))
    bounds = itertools.pairwise([0, *cuts, len(arriving)])
    # Some come when no slices are made of their time any more.
    delays = st.timedeltas(min_value=timedelta(minutes=-1), max_value=timedelta(minutes=2)) | (
        st.just(SLICES_KEPT + WINDOW)
    )
    return [(NOW + draw(delays), arriving[start:end]) for start, end in bounds]


class FoldedFigures(TestCase):
    @settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(history=histories(), ago=st.timedeltas(timedelta(0), timedelta(minutes=3)))
    def test_they_are_those_of_the_rows_one_by_one(
        self, history: list[tuple[datetime, list[dict[str, Any]]]], ago: timedelta
    ) -> None:
        accepted: dict[str, dict[str, Any]] = {}
        for arrival, rows in history:
            refused = {r.row for r in ingest(enumerate(rows), now=arrival, kind="agent").rejected}
            accepted |= {row["id"]: row for i, row in enumerate(rows) if i not in refused}
        for at in (NOW, NOW - ago):
            promote(at)
            self.agree(Reference(list(accepted.values()), at))

    def agree(self, expected: Reference) -> None:
        exact = agent_figures(expected.at)
        folded = agent_figures(expected.at, most_exact_rows=0)
        for figures in (exact, folded):
            assert figures.row_count == len(expected.in_window())
            assert figures.rx_bytes == expected.traffic("rx_bytes")
            assert figures.tx_bytes == expected.traffic("tx_bytes")
            assert figures.session_counts == expected.sessions()
        assert usage_sessions(expected.at) == expected.usage_sessions()
        for fraction, name in ((0.5, "latency_p50"), (0.95, "latency_p95")):
            percentile = expected.percentile(fraction)
            assert getattr(exact, name) == pytest.approx(percentile, rel=1e-9)
            assert getattr(folded, name) == pytest.approx(percentile, rel=0.01)
