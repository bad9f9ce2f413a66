"""The newest snapshot, its alarms and the folding's lag as figures for Prometheus."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import lru_cache

from deployment.stats.alarms import alarms_of, newest_snapshots
from deployment.stats.cells import STATES
from deployment.stats.models import Snapshot
from deployment.stats.selectors import folding_lag
from kernel.telemetry import metrics

type Read = Callable[[Snapshot], metrics.Values]


@lru_cache(maxsize=1)
def _newest(now: datetime) -> list[Snapshot]:
    """Read once for all figures of a scrape, which are asked for with the same moment."""
    return newest_snapshots(now)


def _of_newest(read: Read) -> Callable[[datetime], metrics.Values]:
    """What `read` finds in the newest snapshot; nothing before the first one."""
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

for _name, _help, _labels, _read in OF_NEWEST:
    metrics.figure(f"coderapi_stats_{_name}", _help, _of_newest(_read), labels=_labels)
metrics.figure(
    "coderapi_stats_folding_lag_seconds",
    "How long ago the newest folded minute began; -1 without one.",
    lambda now: {(): folding_lag(now)},
)
metrics.figure("coderapi_stats_alarm", "1 while an alarm is on, else 0.", _alarms, labels=["alarm"])
