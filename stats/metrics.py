"""The newest snapshot, its alarms and the builder's lag as figures for Prometheus."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import lru_cache

from kernel.telemetry import metrics
from stats.alarms import alarms_of, newest_snapshots
from stats.figures import STATES
from stats.models import Snapshot
from stats.selectors import rollup_lag, snapshot_state

type Read = Callable[[Snapshot], metrics.Values]


@lru_cache(maxsize=1)
def _newest(now: datetime) -> list[Snapshot]:
    """Reads snapshots once for all figures of a scrape, which ask with the same moment."""
    return newest_snapshots(now)


def _of_newest(read: Read) -> Callable[[datetime], metrics.Values]:
    """Applies `read` to the newest snapshot; before the first one there is no figure."""
    return lambda now: read(_newest(now)[0]) if _newest(now) else {}


def _states(snapshot: Snapshot) -> metrics.Values:
    return {(state,): getattr(snapshot, state) for state in STATES}


def _sessions(snapshot: Snapshot) -> metrics.Values:
    return {(kind,): count for kind, count in snapshot.session_counts.items()}


def _latency(snapshot: Snapshot) -> metrics.Values:
    return {("0.5",): snapshot.latency_p50, ("0.95",): snapshot.latency_p95}


def _traffic(snapshot: Snapshot) -> metrics.Values:
    return {("received",): snapshot.rx_bytes, ("sent",): snapshot.tx_bytes}


def _alarms(now: datetime) -> metrics.Values:
    return {(alarm.name,): float(alarm.on) for alarm in alarms_of(_newest(now), now=now)}


OF_NEWEST: tuple[tuple[str, str, tuple[str, ...], Read], ...] = (
    ("workspaces", "Workspaces by state.", ("state",), _states),
    ("sessions", "Sessions by kind.", ("kind",), _sessions),
    ("traffic_bytes", "Bytes of the window.", ("direction",), _traffic),
    (
        "latency_milliseconds",
        "Latency in the window; -1 where none was measured.",
        ("quantile",),
        _latency,
    ),
    ("window_rows", "Agent rows in the window.", (), lambda snapshot: {(): snapshot.row_count}),
    (
        "snapshot_seconds",
        "How long taking the newest snapshot took.",
        (),
        lambda snapshot: {(): snapshot.duration_ms / 1000},
    ),
)


def _snapshot_age(now: datetime) -> metrics.Values:
    state = snapshot_state(now)
    return {(): state["age_seconds"]} if state else {}


metrics.figure(
    "coderapi_snapshot_age_seconds",
    "How long ago the newest snapshot of deployment stats was taken; absent before the first.",
    _snapshot_age,
)
for _name, _help, _labels, _read in OF_NEWEST:
    metrics.figure(f"coderapi_stats_{_name}", _help, _of_newest(_read), labels=_labels)
metrics.figure(
    "coderapi_stats_rollup_lag_seconds",
    "How long ago the newest minute that is rolled up began; -1 without one.",
    lambda now: {(): rollup_lag(now)},
)
metrics.figure("coderapi_stats_alarm", "1 while an alarm is on, else 0.", _alarms, labels=["alarm"])
