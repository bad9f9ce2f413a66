"""Clocks that jump: those of agents, and the server's own."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.core.management import CommandError
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase

from jobs.models import JobRun
from jobs.services import run_if_due
from stats.jobs import COLLECT
from stats.rollups.hours import AHEAD
from stats.selectors import snapshot_state
from tests.stats.test_alarms import shown
from tests.support.stats_rows import (
    HOUR,
    MINUTE,
    NOW,
    SECOND,
    WINDOW,
    Deployment,
    agent_row,
    agrees,
    deployment_at,
)

type Rows = list[dict[str, Any]]


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


@pytest.mark.slow
class JumpingClocks(TestCase):
    @settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(
        off=st.lists(
            st.tuples(st.integers(1, 3), st.just(timedelta(0)) | agents_jumps), max_size=12
        )
    )
    def test_rows_count_at_the_time_they_name(self, off: list[tuple[int, timedelta]]) -> None:
        taken: Rows = []
        with deployment_at() as deployment:
            for number, (agent, jump) in enumerate(off):
                row = report(deployment.now + jump, number, agent=agent)
                accepted, _, _ = deployment.counts(row)
                assert accepted == (jump <= AHEAD)
                taken += [row] * accepted
                agrees(deployment.collect(), taken)
                deployment.travel(20 * SECOND)
            for later in (AHEAD, WINDOW):
                deployment.travel(later)
                agrees(deployment.collect(), taken)

    @settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(jumps=st.lists(our_jumps, max_size=8))
    def test_snapshots_are_right_whatever_our_clock_did(self, jumps: list[timedelta]) -> None:
        taken: Rows = []
        seen: set[datetime] = set()
        with deployment_at() as deployment:
            for number, jump in enumerate([timedelta(0), *jumps]):
                deployment.travel(jump)
                now = deployment.now
                rows = [report(now - n * SECOND, number, agent=n) for n in range(3)]
                assert deployment.counts(*rows) == (len(rows), 0, 0)
                taken += rows
                found = deployment.collect()
                if (
                    now not in seen
                ):  # Of a moment that comes again there is a snapshot, which stays.
                    agrees(found, taken)
                seen.add(now)


def test_an_hour_that_was_dropped_is_not_made_again_by_a_clock_that_is_behind(
    deployment: Deployment,
) -> None:
    row = report(NOW, 1)
    deployment.take(row)
    deployment.collect()
    deployment.travel(26 * HOUR)
    deployment.prune()
    deployment.travel(NOW + 2 * HOUR)
    deployment.job("keep_stats_hours_ahead")
    with pytest.raises(CommandError, match="raw rows are not kept"):
        deployment.collect(NOW - SECOND)
    assert deployment.counts(row, report(NOW, 2)) == (0, 0, 2)


def test_an_agent_whose_clock_is_ahead_does_not_hide_that_no_other_reports(
    deployment: Deployment,
) -> None:
    deployment.take(report(NOW, 1), report(NOW + 4 * MINUTE, 2))
    deployment.collect()
    for later, lag in ((3 * MINUTE, 3 * 60 + 56), (-2 * HOUR, -1)):
        deployment.travel(later)
        assert shown()["coderapi_stats_rollup_lag_seconds",] == lag


def test_what_a_clock_that_was_ahead_left_behind_hides_nothing(deployment: Deployment) -> None:
    deployment.travel(HOUR)
    deployment.collect()
    assert snapshot_state() is not None
    deployment.travel(-HOUR)
    assert snapshot_state() is None
    assert shown()["coderapi_stats_alarm", "snapshot_missing"] == 1
    taken = deployment.collect()
    assert deployment.at(NOW + 2 * HOUR)["collected_at"] == taken["collected_at"]
    answer = deployment.client.get("/api/v2/deployment/stats").json()
    assert answer["collected_at"] == taken["collected_at"]


@pytest.mark.django_db(transaction=True)
def test_snapshots_go_on_when_our_clock_goes_back() -> None:
    now = timezone.now()
    for slot in (now - MINUTE, *(now + number * HOUR for number in range(1, 10))):
        JobRun.objects.create(job=COLLECT.name, slot=slot, started_at=slot, finished_at=slot)
    assert run_if_due(replace(COLLECT, every=30 * SECOND), timezone.now())
    state = snapshot_state()
    assert state
    assert state["collected_at"] >= now
