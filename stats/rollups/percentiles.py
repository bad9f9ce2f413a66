"""Percentiles from a logarithmic histogram of latencies, within 1 %.

Bucket b holds the latencies in (RATIO^b, RATIO^(b+1)], and answers with the value whose relative
distance to both ends is the same, so that no answer is further off than ERROR. PostgreSQL puts a
row into its bucket as the row comes in (`AgentStat.latency_bucket`); here buckets are read back.
Percentiles of merged spans come from merged histograms; never from averages of percentiles.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

ERROR = 0.0095
LOG_RATIO = math.log((1 + ERROR) / (1 - ERROR))
NO_SAMPLE = -1.0
P50, P95 = 0.5, 0.95


def value_of(bucket: int) -> float:
    """Returns the latency that stands for a bucket. Units: ms."""
    return math.exp(bucket * LOG_RATIO) * (1 + ERROR)


def percentile(histogram: Mapping[int, int], fraction: float) -> float:
    """Interpolates between the buckets' values. Returns -1 without a row.

    Shape: `histogram` {bucket: rows}.
    """
    rows = sum(histogram.values())
    if not rows:
        return NO_SAMPLE
    position = fraction * (rows - 1)
    below = math.floor(position)
    low = _at_rank(histogram, below)
    high = _at_rank(histogram, min(below + 1, rows - 1))
    return low + (high - low) * (position - below)


def _at_rank(histogram: Mapping[int, int], rank: int) -> float:
    passed = 0
    for bucket in sorted(histogram):
        passed += histogram[bucket]
        if passed > rank:
            return value_of(bucket)
    raise ValueError(f"rank {rank} is beyond the histogram's {passed} rows")
