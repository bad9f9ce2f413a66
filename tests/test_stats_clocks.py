"""Clocks that jump: those of agents, and the server's own."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase

from deployment.stats.alarms import judge
from deployment.stats.ingest import ingest
from deployment.stats.models import MinuteSum, Snapshot
from deployment.stats.partitions import AHEAD
from deployment.stats.selectors import folding_lag
from deployment.stats.services import SnapshotError, collect_snapshot
from tests.factories import utc
from tests.stats_rows import WINDOW, Reference, agent_row

NOW = utc(2026, 5, 4, 12, 34).replace(second=56)
SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)

type Rows = list[dict[str, Any]]


def agrees(snapshot: Snapshot, rows: Rows) -> None:
    """Fails where the snapshot is not what the rows come to at its moment."""
    expected = Reference(rows, snapshot.collected_at)
    assert snapshot.row_count == len(expected.in_window())
    assert snapshot.rx_bytes == expected.traffic("rx_bytes")
    assert snapshot.session_counts == expected.sessions()
    assert snapshot.latency_p50 == pytest.approx(expected.percentile(0.5))
    assert snapshot.latency_p95 == pytest.approx(expected.percentile(0.95))


def report(at: datetime, number: int, *, agent: int = 1) -> dict[str, Any]:
    return agent_row(
        at,
        agent=agent,
        rx_bytes=2**number,
        session_count_ssh=number,
        connection_median_latency_ms=number + 1,
    )


# How far an agent's clock, or ours, is off from one report to the next.
agents_jumps = st.sampled_from([-HOUR, -WINDOW, -MINUTE, -SECOND, SECOND, MINUTE, AHEAD, HOUR])
our_jumps = st.sampled_from([-2 * HOUR, -WINDOW, -SECOND, SECOND, WINDOW, 2 * HOUR])


class JumpingClocks(TestCase):
    @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(
        off=st.lists(
            st.tuples(st.integers(1, 3), st.just(timedelta(0)) | agents_jumps), max_size=20
        )
    )
    def test_rows_count_at_the_time_they_name(self, off: list[tuple[int, timedelta]]) -> None:
        taken: Rows = []
        for number, (agent, jump) in enumerate(off):
            now = NOW + number * 20 * SECOND
            row = report(now + jump, number, agent=agent)
            verdicts = ingest([(1, row)], now=now, kind="agent")
            assert verdicts.accepted == (jump <= AHEAD)
            taken += [row] * verdicts.accepted
            agrees(collect_snapshot(now), taken)
        for later in (AHEAD, AHEAD + WINDOW):
            agrees(collect_snapshot(NOW + len(off) * 20 * SECOND + later), taken)

    @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(jumps=st.lists(our_jumps, max_size=8))
    def test_snapshots_are_right_whatever_our_clock_did(self, jumps: list[timedelta]) -> None:
        taken: Rows = []
        now = NOW
        for number, jump in enumerate([timedelta(0), *jumps]):
            now += jump
            rows = [report(now - n * SECOND, number, agent=n) for n in range(3)]
            assert ingest(enumerate(rows), now=now, kind="agent").accepted == len(rows)
            taken += rows
            if Snapshot.objects.filter(collected_at=now).exists():
                continue  # Of a moment that comes again there is a snapshot, which stays.
            agrees(collect_snapshot(now), taken)
        assert sum(MinuteSum.objects.values_list("row_count", flat=True)) == len(taken)


@pytest.mark.django_db
def test_rows_of_right_clocks_are_refused_while_ours_is_far_behind() -> None:
    behind = NOW - HOUR
    row = report(NOW, 1)
    assert ingest([(1, row)], now=behind, kind="agent").rejected
    assert ingest([(1, row)], now=NOW, kind="agent").accepted == 1
    agrees(collect_snapshot(NOW), [row])


@pytest.mark.django_db
def test_of_a_time_that_our_clock_went_back_from_there_is_no_other_snapshot() -> None:
    ahead = collect_snapshot(NOW + HOUR)
    assert collect_snapshot(NOW) != ahead
    with pytest.raises(SnapshotError, match="still to come"):
        collect_snapshot(NOW + 2 * HOUR, now=NOW)


@pytest.mark.django_db
def test_an_agent_whose_clock_is_ahead_does_not_hide_that_no_other_reports() -> None:
    ingest([(1, report(NOW, 1)), (2, report(NOW + 4 * MINUTE, 2))], now=NOW, kind="agent")
    assert folding_lag(NOW + 3 * MINUTE) == 3 * 60 + 56
    assert folding_lag(NOW - HOUR) == -1


def test_a_newest_snapshot_of_a_time_to_come_is_an_alarm() -> None:
    newest = Snapshot(collected_at=NOW + HOUR, running=0, session_counts={}, latency_p95=-1)
    found = judge([newest], now=NOW, interval=30 * SECOND, p95_limit_ms=0)
    (missing,) = (alarm for alarm in found if alarm.name == "snapshot_missing")
    assert missing.on
    assert "to come" in missing.text
