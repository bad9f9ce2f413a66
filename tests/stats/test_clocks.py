"""Clocks that jump: those of agents, and the server's own."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase

from deployment.stats.alarms import alarms
from deployment.stats.collecting import collect_in_a_loop
from deployment.stats.ingest import ingest
from deployment.stats.jobs import COLLECT
from deployment.stats.models import MinuteSum, Snapshot
from deployment.stats.partitions import AHEAD
from deployment.stats.selectors import folding_lag, newest_snapshot, snapshot_at, snapshot_state
from deployment.stats.services import SnapshotError, collect_snapshot, prune_stats
from jobs.models import JobRun
from tests.support.factories import utc
from tests.support.stats_rows import WINDOW, Reference, agent_row

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
@pytest.mark.parametrize("at", [NOW, NOW + WINDOW - 3 * SECOND])
def test_slices_that_a_clock_ahead_forgot_are_not_missed(at: datetime) -> None:
    """Both edges of a window may be of such a minute."""
    rows = [report(NOW - n * SECOND, n, agent=n) for n in range(3)]
    ingest(enumerate(rows), now=NOW, kind="agent")
    prune_stats(NOW + 2 * HOUR)
    more = [report(NOW - n * SECOND, n, agent=n) for n in range(3, 6)]
    ingest(enumerate(more), now=NOW, kind="agent")
    agrees(collect_snapshot(at), rows + more)


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


@pytest.mark.django_db
def test_what_a_clock_that_was_ahead_left_behind_hides_nothing() -> None:
    now = timezone.now()
    collect_snapshot(now + HOUR)
    assert snapshot_state() is snapshot_state(now) is None
    assert snapshot_state(now + HOUR) is not None
    for name in ("snapshot_missing", "sessions_vanished"):
        assert {alarm.name: alarm.on for alarm in alarms(now)}[name] == (name == "snapshot_missing")
    taken = collect_snapshot(now)
    assert newest_snapshot(now) == snapshot_at(now + 2 * HOUR, now=now) == taken
    assert not any(alarm.on for alarm in alarms(now))


@pytest.mark.django_db(transaction=True)
def test_snapshots_go_on_when_our_clock_goes_back() -> None:
    now = timezone.now()
    for slot in (now - MINUTE, *(now + number * HOUR for number in range(1, 10))):
        JobRun.objects.create(job=COLLECT.name, slot=slot, started_at=slot, finished_at=slot)
    assert collect_in_a_loop(lambda _: True, every=30 * SECOND) == 1
    assert newest_snapshot(timezone.now()).collected_at >= now
