"""Registers the jobs of apps that are not allowed to import `jobs`, such as `alerts`."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.conf import settings

from alerts.models import Channel
from alerts.sending import send_alerts
from audit.models import PARTITIONS
from audit.services import drop_old_entries
from jobs.registry import Job, register

AHEAD = timedelta(days=30)


def _keep_audit_partitions(now: datetime) -> int:
    made = PARTITIONS.ensure(now, now + AHEAD)
    return made + drop_old_entries(retention=settings.AUDIT_LOGS_RETENTION, now=now)


register(Job(name="audit_partitions", every=timedelta(hours=6), run=_keep_audit_partitions))
ALERTS = register(
    Job(
        name="send_alerts",
        every=timedelta(seconds=15),
        run=send_alerts,
        enabled=lambda: Channel.objects.filter(enabled=True).exists(),
    )
)
