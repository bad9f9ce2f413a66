"""Percentiles: exact from values, or within 1 % from a logarithmic histogram that can be merged.

Bucket b of the histogram holds the latencies in (RATIO^b, RATIO^(b+1)], and answers with the value
whose relative distance to both ends is the same, so that no answer is further off than ERROR.
Percentiles of merged spans come from merged histograms; never from averages of percentiles.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

ERROR = 0.0095
RATIO = (1 + ERROR) / (1 - ERROR)
# PostgreSQL and Python take the logarithm by the same divisor, so they agree on the bucket.
LOG_RATIO = math.log(RATIO)
NO_SAMPLE = -1.0


def exact(values: Iterable[float], fraction: float) -> float:
    """The percentile by linear interpolation, or -1 without a value."""
    ordered = sorted(values)
    if not ordered:
        return NO_SAMPLE
    position = fraction * (len(ordered) - 1)
    below = math.floor(position)
    low, high = ordered[below], ordered[min(below + 1, len(ordered) - 1)]
    return low + (high - low) * (position - below)


def bucket_of(latency_ms: float) -> int:
    return math.ceil(math.log(latency_ms) / LOG_RATIO) - 1


def value_of(bucket: int) -> float:
    """The latency that stands for a bucket."""
    return math.exp(bucket * LOG_RATIO) * (1 + ERROR)


def merged(histograms: Iterable[Iterable[Sequence[int]]]) -> dict[int, int]:
    """One histogram of all: counts by bucket, added."""
    total: dict[int, int] = {}
    for histogram in histograms:
        for bucket, rows in histogram:
            total[bucket] = total.get(bucket, 0) + rows
    return total


def from_histogram(counts: Mapping[int, int], fraction: float) -> float:
    """The percentile by linear interpolation between the buckets' values, or -1 without a row."""
    rows = sum(counts.values())
    if not rows:
        return NO_SAMPLE
    position = fraction * (rows - 1)
    below = math.floor(position)
    low = _at_rank(counts, below)
    high = _at_rank(counts, min(below + 1, rows - 1))
    return low + (high - low) * (position - below)


def _at_rank(counts: Mapping[int, int], rank: int) -> float:
    passed = 0
    for bucket in sorted(counts):
        passed += counts[bucket]
        if passed > rank:
            return value_of(bucket)
    raise ValueError(f"rank {rank} is beyond the histogram's {passed} rows")
