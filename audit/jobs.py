"""The job that creates and drops partitions of the audit trail."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.conf import settings

from audit.models import PARTITIONS
from audit.services import drop_old_entries
from jobs.registry import Job, register

AHEAD = timedelta(days=30)


def _make_partitions(now: datetime) -> int:
    made = PARTITIONS.ensure(now, now + AHEAD)
    return made + drop_old_entries(retention=settings.AUDIT_LOGS_RETENTION, now=now)


register(Job(name="make_audit_partitions", every=timedelta(hours=6), run=_make_partitions))
