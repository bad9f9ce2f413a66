"""The job that sends alerts."""

from __future__ import annotations

from datetime import timedelta

from alerts.models import Channel
from alerts.sending import send_alerts
from jobs.registry import Job, register

register(
    Job(
        name="send_alerts",
        every=timedelta(seconds=15),
        run=send_alerts,
        enabled=lambda: Channel.objects.filter(is_enabled=True).exists(),
    )
)
