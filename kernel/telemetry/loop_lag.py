"""Measures the lag of the event loop: how late the loop starts callbacks.

While the loop runs one function, all clients of the process wait. So nothing in the loop may take
longer than about a millisecond.
"""

from __future__ import annotations

import asyncio

from prometheus_client import Histogram

from kernel.telemetry import metrics

INTERVAL_SECONDS = 0.02
LAG = Histogram(
    "coderapi_event_loop_lag_seconds",
    "How late the event loop of a web process starts callbacks, sampled 50 times a second.",
    buckets=(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1),
)


async def measure_lag() -> None:
    """Samples the lag, if metrics are enabled. Runs until it is canceled."""
    loop = asyncio.get_running_loop()
    while metrics.enabled():
        due = loop.time() + INTERVAL_SECONDS
        await asyncio.sleep(INTERVAL_SECONDS)
        LAG.observe(max(0.0, loop.time() - due))
