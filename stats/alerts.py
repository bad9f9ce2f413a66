"""Alerts about alarms of the deployment stats, and their section of the weekly digest."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from django.db.models import Avg, Max
from django.urls import reverse

from alerts.kinds import STATS_ALARM
from alerts.models import Alert, Channel
from alerts.sources import Details, Event, Source, register
from alerts.weekly import register_section
from kernel.text.humanize import count, milliseconds
from stats.alarms import alarms_on
from stats.models import Snapshot


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
    return found.aggregate(
        running=Max("running"), failed=Max("failed"), latency=Avg("latency_p95_ms")
    )


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
