"""Jumps of the clocks of agents and of the server."""

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
from stats.selectors import snapshot_state
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
    gauges,
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


# How far the server's clock jumps between two reports.
jumps_of_clock = st.sampled_from([-2 * HOUR, -WINDOW, -SECOND, SECOND, WINDOW, 2 * HOUR])


@pytest.mark.slow
class JumpingClocks(TestCase):
    @settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(jumps=st.lists(jumps_of_clock, max_size=8))
    def test_snapshots_are_right_after_jumps_of_the_server_clock(
        self, jumps: list[timedelta]
    ) -> None:
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
                # The snapshot of a repeated moment is not taken again.
                if now not in seen:
                    agrees(found, taken)
                seen.add(now)


@pytest.mark.django_db(transaction=True)
def test_a_slow_clock_does_not_create_a_dropped_hour_again(
    deployment: Deployment,
) -> None:
    row = report(NOW, 1)
    deployment.take(row)
    deployment.collect()
    deployment.travel(26 * HOUR)
    deployment.prune()
    deployment.travel(NOW + 2 * HOUR)
    deployment.job("make_stats_partitions")
    with pytest.raises(CommandError, match="agent rows are not kept"):
        deployment.collect(NOW - SECOND)
    assert deployment.counts(row, report(NOW, 2)) == (0, 0, 2)


def test_an_agent_with_a_fast_clock_does_not_hide_that_no_other_reports(
    deployment: Deployment,
) -> None:
    deployment.take(report(NOW, 1), report(NOW + 4 * MINUTE, 2))
    deployment.collect()
    for later, lag in ((3 * MINUTE, 3 * 60 + 56), (-2 * HOUR, None)):
        deployment.travel(later)
        assert gauges().get(("coderapi_stats_newest_rollup_age_seconds",)) == lag


def test_snapshots_of_a_fast_clock_do_not_hide_current_ones(deployment: Deployment) -> None:
    deployment.travel(HOUR)
    deployment.collect()
    assert snapshot_state() is not None
    deployment.travel(-HOUR)
    assert snapshot_state() is None
    assert gauges()["coderapi_stats_alarm", "snapshot_missing"] == 1
    taken = deployment.collect()
    assert deployment.at(NOW + 2 * HOUR)["collected_at"] == taken["collected_at"]
    answer = deployment.client.get("/api/v2/deployment/stats").json()
    assert answer["collected_at"] == taken["collected_at"]


@pytest.mark.django_db(transaction=True)
def test_snapshots_continue_when_the_server_clock_goes_back() -> None:
    now = timezone.now()
    for slot in (now - MINUTE, *(now + number * HOUR for number in range(1, 10))):
        JobRun.objects.create(
            job_name=COLLECT.name, scheduled_at=slot, started_at=slot, finished_at=slot
        )
    assert run_if_due(replace(COLLECT, every=30 * SECOND), timezone.now())
    state = snapshot_state()
    assert state
    assert state["collected_at"] >= now
