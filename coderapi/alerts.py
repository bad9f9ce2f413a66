"""Alerts if the newest backup is old."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from django.urls import reverse

from alerts.kinds import BACKUP_OLD
from alerts.models import Alert, Channel
from alerts.sources import Details, Event, Source, register
from audit.models import Entry
from kernel.humanize import ago

BACKUP = "backup.create"
MAX_AGE = timedelta(days=7)


def newest_backup() -> datetime | None:
    """Returns the time of the newest backup by `manage.py backup`, or None."""
    entry = Entry.objects.filter(action=BACKUP).order_by("-at").first()
    return entry.at if entry else None


@register
class BackupSource(Source):
    """Backups by other programs are unknown. So there is no alert before the first own backup."""

    kinds = (BACKUP_OLD,)

    def due(self, channel: Channel, now: datetime) -> Iterator[Event]:
        newest = newest_backup()
        if newest is not None and now - newest > MAX_AGE:
            what = f"the newest backup is from {newest:%Y-%m-%d %H:%M} UTC"
            yield Event(kind=BACKUP_OLD, key="backup", what=what)

    def details(self, alert: Alert, now: datetime) -> Details:
        facts = [("Newest backup", ago(newest_backup(), now=now))]
        return Details(facts=facts, links=[("Open the admin", reverse("admin:index"))])
