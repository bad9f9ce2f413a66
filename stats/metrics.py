"""Gauges for the values of the newest snapshot, the alarms, and the lag of the builder."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime

from kernel.memory import CachedValue, Memory
from kernel.telemetry.metrics import Values, database_gauge
from stats.alerts import alarms, newest_snapshots
from stats.applications import application, largest
from stats.models import Snapshot
from stats.selectors import newest_rollup_age, snapshot_state
from stats.states import STATES

# The maximum number of applications in the labels. All others count as unknown.
MAX_APPLICATIONS = 32


# The snapshots that the gauges of one scrape have in common. All of them have the same `now`.
_scrape: Memory[datetime, list[Snapshot]] = Memory("newest-snapshots", capacity=1)


def _newest(now: datetime) -> list[Snapshot]:
    return _scrape.load(now, lambda: CachedValue(newest_snapshots(now)))


def _sessions(counts: Mapping[str, int]) -> Values:
    shown = largest(counts, MAX_APPLICATIONS)
    return {(name, application(name).family): count for name, count in shown.items()}


def _latency(newest: Snapshot) -> Values:
    found = {"0.5": newest.latency_p50_ms, "0.95": newest.latency_p95_ms}
    return {(quantile,): latency / 1000 for quantile, latency in found.items() if latency >= 0}


def _of_newest(read: Callable[[Snapshot], Values]) -> Callable[[datetime], Values]:
    """Returns a function that applies `read` to the newest snapshot.

    Before the first snapshot, the function returns no values, so the gauge is absent.
    """
    return lambda now: read(_newest(now)[0]) if _newest(now) else {}


database_gauge(
    "coderapi_stats_snapshot_age_seconds",
    "Age of the newest snapshot of deployment stats; absent before the first snapshot.",
    lambda now: {(): state["age_seconds"]} if (state := snapshot_state(now)) else {},
)
database_gauge(
    "coderapi_stats_workspaces",
    "Workspaces by state in the newest snapshot.",
    _of_newest(lambda newest: {(state,): getattr(newest, state) for state in STATES}),
    labels=["state"],
)
database_gauge(
    "coderapi_stats_sessions",
    "Sessions by application in the newest snapshot; absent if they are unknown.",
    _of_newest(lambda newest: _sessions(newest.session_counts)),
    labels=["app_name", "family"],
)
database_gauge(
    "coderapi_stats_traffic_bytes",
    "Bytes received and sent in the 15 minutes before the newest snapshot.",
    _of_newest(lambda newest: {("received",): newest.rx_bytes, ("sent",): newest.tx_bytes}),
    labels=["direction"],
)
database_gauge(
    "coderapi_stats_latency_seconds",
    "Connection latency in the 15 minutes before the newest snapshot; absent if unmeasured.",
    _of_newest(_latency),
    labels=["quantile"],
)
database_gauge(
    "coderapi_stats_snapshot_agent_rows",
    "Agent rows in the 15 minutes before the newest snapshot.",
    _of_newest(lambda newest: {(): newest.row_count}),
)
database_gauge(
    "coderapi_stats_snapshot_duration_seconds",
    "Time that it took to take the newest snapshot.",
    _of_newest(lambda newest: {(): newest.duration_ms / 1000}),
)
database_gauge(
    "coderapi_stats_newest_rollup_age_seconds",
    "Age of the newest minute with a rollup; absent if there is no rollup.",
    lambda now: {(): age} if (age := newest_rollup_age(now)) is not None else {},
)
database_gauge(
    "coderapi_stats_alarm",
    "1 while an alarm is on, else 0.",
    lambda now: {(alarm.name,): float(alarm.on) for alarm in alarms(_newest(now), now=now)},
    labels=["alarm"],
)
