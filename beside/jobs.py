from __future__ import annotations

from django.conf import settings

from beside.database.follower import follow
from jobs.registry import Job, register
from stats.selectors import refresh_interval

FOLLOW_DATABASE = register(
    Job(
        name="follow_coder_database",
        every=refresh_interval,
        run=follow,
        enabled=lambda: bool(settings.CODER_DATABASE_URL),
    )
)
