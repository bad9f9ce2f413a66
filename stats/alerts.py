"""Alarms for the operator: missing snapshots, vanished sessions, high latency.

An operator can name applications. Each of them has an alarm of its own for vanished sessions. There
are alerts about alarms, and the weekly digest has a section with the statistics of the week.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import Avg, Max, Q
from django.urls import reverse

from alerts.kinds import STATS_ALARM
from alerts.models import Alert, Channel
from alerts.sources import Details, Event, Source, register
from alerts.weekly import register_section
from kernel.text.humanize import count, duration, milliseconds
from stats.applications import application, clean_name
from stats.models import Snapshot
from stats.selectors import refresh_interval, snapshots_so_far

MAX_INTERVALS_MISSED = 4
# The alarm `sessions_vanished` is on after this number of consecutive snapshots without a session.
SNAPSHOTS = 10


@dataclass(frozen=True, slots=True)
class Alarm:
    """An alarm that is on or off. `name` is its label in the metric. `text` is for operators."""

    name: str
    on: bool
    text: str = ""


def newest_snapshots(now: datetime) -> list[Snapshot]:
    """Returns the newest snapshots, from which the alarms are computed, newest first."""
    return list(snapshots_so_far(now)[:SNAPSHOTS])


def alarms(newest: Sequence[Snapshot], *, now: datetime) -> list[Alarm]:
    """Computes all alarms from the newest snapshots. `newest` is sorted, newest first."""
    applications = map(clean_name, settings.STATS_SESSION_ALARM_APPS)
    return [
        _missing(newest, now=now),
        _sessions_vanished(newest),
        *(_application_vanished(newest, name) for name in applications),
        _slow(newest, limit=settings.STATS_LATENCY_ALARM),
    ]


def alarms_on(now: datetime) -> list[Alarm]:
    """Returns the alarms that are on."""
    return [alarm for alarm in alarms(newest_snapshots(now), now=now) if alarm.on]


def _missing(newest: Sequence[Snapshot], *, now: datetime) -> Alarm:
    if not newest:
        return Alarm("snapshot_missing", on=True, text="No snapshot has been taken yet.")
    age = now - newest[0].collected_at
    text = f"The newest snapshot was taken at {newest[0].collected_at:%Y-%m-%d %H:%M:%S} UTC."
    return Alarm("snapshot_missing", on=age > MAX_INTERVALS_MISSED * refresh_interval(), text=text)


def _sessions_vanished(newest: Sequence[Snapshot]) -> Alarm:
    vanished = len(newest) >= SNAPSHOTS and all(
        snapshot.running and snapshot.knows_sessions and not any(snapshot.session_counts.values())
        for snapshot in newest
    )
    text = f"Workspaces are running, but had no session for {_period()}. Are agent rows arriving?"
    return Alarm("sessions_vanished", on=vanished, text=text)


def _application_vanished(newest: Sequence[Snapshot], name: str) -> Alarm:
    """Returns the alarm for an application without sessions, while others have some."""
    vanished = len(newest) >= SNAPSHOTS and all(
        any(snapshot.session_counts.values()) and not snapshot.session_counts.get(name)
        for snapshot in newest
    )
    text = f"{application(name).display_name} had no session for {_period()}, but others had some."
    return Alarm(f"sessions_vanished_{name}", on=vanished, text=text)


def _period() -> str:
    return duration(SNAPSHOTS * refresh_interval())


def _slow(newest: Sequence[Snapshot], *, limit: timedelta) -> Alarm:
    """Returns the alarm for high latency. A limit of 0 disables the alarm."""
    limit_ms = limit / timedelta(milliseconds=1)
    p95 = newest[0].latency_p95_ms if newest else -1
    text = f"The 95th percentile of latency is {p95:.0f} ms; the limit is {limit_ms:g} ms."
    return Alarm("latency_high", on=0 < limit_ms < p95, text=text)


@register
class AlarmSource(Source):
    kinds = (STATS_ALARM,)

    def due(self, channel: Channel, now: datetime) -> Iterator[Event]:
        for alarm in alarms_on(now):
            yield Event(kind=STATS_ALARM, subject_key=alarm.name, title=alarm.text.rstrip("."))

    def details(self, alert: Alert, now: datetime) -> Details:
        page = reverse("admin:stats_snapshot_timelines")
        return Details(facts=[("Alarm", alert.subject_key)], links=[("Open the charts", page)])


def _figures(since: datetime, until: datetime) -> dict[str, float | None]:
    found = Snapshot.objects.filter(collected_at__gte=since, collected_at__lt=until)
    # Without a measurement, the latency of a snapshot is -1.
    latency = Avg("latency_p95_ms", filter=Q(latency_p95_ms__gte=0))
    return found.aggregate(running=Max("running"), failed=Max("failed"), latency=latency)


def _week(since: datetime, until: datetime) -> Iterator[tuple[str, str]]:
    """Yields the figures of the week, each beside those of the week before."""
    this, before = _figures(since, until), _figures(since - timedelta(days=7), since)
    for name, key, write in (
        ("most running workspaces", "running", count),
        ("most failed workspaces", "failed", count),
        ("mean of the 95th percentile of latency", "latency", milliseconds),
    ):
        if this[key] is not None:
            yield name, f"{write(this[key])}, the week before {write(before[key])}"


register_section("Stats", _week)
