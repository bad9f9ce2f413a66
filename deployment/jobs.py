from __future__ import annotations

from datetime import timedelta

from django.conf import settings

from deployment.updatecheck import check_for_update
from jobs.registry import Job, register

register(
    Job(
        name="update_check",
        every=timedelta(days=1),
        run=check_for_update,
        enabled=lambda: settings.UPDATE_CHECK,
    )
)
