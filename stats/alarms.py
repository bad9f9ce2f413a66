"""Alarms for the operator: snapshots that stop, sessions that vanish, slow connections."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings

from stats.models import Snapshot
from stats.selectors import refresh_interval, snapshots_so_far

MAX_INTERVALS_MISSED = 4
# So many snapshots in a row without a session are too many.
SNAPSHOTS = 10


@dataclass(frozen=True, slots=True)
class Alarm:
    """An alarm, on or off. `name` is the metric's label; `text` is for the operator."""

    name: str
    on: bool
    text: str = ""


def newest_snapshots(now: datetime) -> list[Snapshot]:
    """Returns as many snapshots as alarms look at, the newest first."""
    return list(snapshots_so_far(now)[:SNAPSHOTS])


def alarms(now: datetime, *, newest: Sequence[Snapshot] | None = None) -> list[Alarm]:
    """Judges the newest snapshots by the operator's limits. Returns every alarm, on or off."""
    return judge(
        newest_snapshots(now) if newest is None else newest,
        now=now,
        interval=refresh_interval(),
        p95_limit_ms=settings.STATS_P95_ALARM_MS,
    )


def judge(
    newest: Sequence[Snapshot], *, now: datetime, interval: timedelta, p95_limit_ms: float
) -> list[Alarm]:
    """Judges the newest snapshots, the newest first. Returns every alarm, on or off.

    Units: `p95_limit_ms` milliseconds; 0 is no limit.
    """
    return [
        _missing(newest, now=now, interval=interval),
        _silent(newest),
        _slow(newest, limit_ms=p95_limit_ms),
    ]


def _missing(newest: Sequence[Snapshot], *, now: datetime, interval: timedelta) -> Alarm:
    if not newest:
        return Alarm("snapshot_missing", on=True, text="No snapshot has been taken yet.")
    age = now - newest[0].collected_at
    text = f"The newest snapshot is of {newest[0].collected_at:%Y-%m-%d %H:%M:%S} UTC."
    return Alarm("snapshot_missing", on=age > MAX_INTERVALS_MISSED * interval, text=text)


def _silent(newest: Sequence[Snapshot]) -> Alarm:
    silent = len(newest) >= SNAPSHOTS and all(
        snapshot.running and not any(snapshot.session_counts.values()) for snapshot in newest
    )
    text = f"No session in {SNAPSHOTS} snapshots, though workspaces run."
    return Alarm("sessions_vanished", on=silent, text=text)


def _slow(newest: Sequence[Snapshot], *, limit_ms: float) -> Alarm:
    p95 = newest[0].latency_p95 if newest else -1
    text = f"The 95th percentile of latency is {p95:.0f} ms; the limit is {limit_ms:g} ms."
    return Alarm("latency_high", on=0 < limit_ms < p95, text=text)
