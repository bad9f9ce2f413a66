"""Metrics of the requests to Coder, for Prometheus."""

from __future__ import annotations

from prometheus_client import Counter

from beside import client
from kernel.telemetry import metrics

LOOK_UPS = Counter(
    "coderapi_coder_look_ups",
    "Session tokens that Coder was asked about, by result: accepted, rejected or unavailable.",
    ["result"],
)
metrics.sampled_gauge(
    "coderapi_coder_away",
    "1 if a process does not send requests to Coder because Coder does not respond, else 0.",
    lambda: {(): float(client.BREAKER.is_open)},
    mode="livemax",
)
