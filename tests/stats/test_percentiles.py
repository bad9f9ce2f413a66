"""Percentiles from histograms: within 1 % of those of the rows, however spans are merged."""

from __future__ import annotations

import math

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase

from stats.figures import LOG_RATIO, value_of
from tests.support.stats_rows import MINUTE, NOW, Reference, agent_row, deployment_at


def bucket_of(latency: float) -> int:
    return math.ceil(math.log(latency) / LOG_RATIO) - 1


@settings(deadline=None)
@given(st.floats(1e-12, 1e12))
def test_a_bucket_stands_for_its_latencies_within_one_percent(latency: float) -> None:
    assert value_of(bucket_of(latency)) == pytest.approx(latency, rel=0.01)


class Merged(TestCase):
    """PostgreSQL puts latencies into the same buckets, and history merges them."""

    @settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(st.lists(st.floats(1e-6, 1e9), min_size=1, max_size=50))
    def test_history_of_an_hour_answers_within_one_percent(self, values: list[float]) -> None:
        rows = [
            agent_row(NOW - n % 14 * MINUTE, connection_median_latency_ms=value)
            for n, value in enumerate(values)
        ]
        with deployment_at() as deployment:
            deployment.take(*rows)
            deployment.collect()
            (point,) = deployment.points(NOW, NOW + MINUTE, "1h")
        found = point["workspaces"]["connection_latency_ms"]
        for name, fraction in (("p50", 0.5), ("p95", 0.95)):
            expected = Reference(rows, NOW).percentile(fraction)
            assert found[name] == pytest.approx(expected, rel=0.01)
