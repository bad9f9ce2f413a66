from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deployment.stats import percentiles

latencies = st.lists(st.floats(1e-6, 1e9), min_size=1, max_size=200)
fractions = st.sampled_from([0.0, 0.5, 0.95, 1.0])


@pytest.mark.parametrize(
    ("values", "fraction", "expected"),
    [
        ([], 0.5, -1),
        ([7], 0.95, 7),
        ([1, 2], 0.5, 1.5),
        ([2, 1], 0.95, 1.95),
        ([1, 2, 3, 4, 5], 0.5, 3),
        ([1, 2, 3, 4], 1.0, 4),
    ],
)
def test_a_percentile_lies_between_its_neighbours(
    values: list[float], fraction: float, expected: float
) -> None:
    assert percentiles.exact(values, fraction) == pytest.approx(expected)


@settings(deadline=None)
@given(st.floats(1e-12, 1e12))
def test_a_bucket_stands_for_its_latencies_within_one_percent(latency: float) -> None:
    assert percentiles.value_of(percentiles.bucket_of(latency)) == pytest.approx(latency, rel=0.01)


@settings(deadline=None)
@given(latencies, latencies, fractions)
def test_merged_histograms_answer_within_one_percent(
    first: list[float], second: list[float], fraction: float
) -> None:
    merged = percentiles.merged([_histogram(first), _histogram(second)])
    expected = percentiles.exact(first + second, fraction)
    assert percentiles.from_histogram(merged, fraction) == pytest.approx(expected, rel=0.01)


def test_an_empty_histogram_has_no_percentile() -> None:
    assert percentiles.from_histogram({}, 0.5) == -1


@settings(deadline=None)
@given(st.integers(-20_000, 20_000))
def test_neighbouring_buckets_touch(bucket: int) -> None:
    upper = math.exp((bucket + 1) * percentiles.LOG_RATIO)
    assert percentiles.bucket_of(upper * (1 - 1e-9)) == bucket
    assert percentiles.bucket_of(upper * (1 + 1e-9)) == bucket + 1


def _histogram(values: list[float]) -> list[tuple[int, int]]:
    return [(percentiles.bucket_of(value), 1) for value in values]
