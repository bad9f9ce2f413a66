from __future__ import annotations

from datetime import timedelta

from django.conf import settings

from beside import token_policy
from beside.checks.setup import check_token
from beside.database.follower import follow
from jobs.registry import Job, register
from stats.selectors import refresh_interval

register(
    Job(
        name=token_policy.JOB,
        every=timedelta(hours=1),
        run=lambda now: len(token_policy.apply(now)),
        enabled=token_policy.is_on,
    )
)
CHECK_TOKEN = register(
    Job(
        name="check_coder_token",
        every=timedelta(days=1),
        run=check_token,
        enabled=lambda: bool(settings.CODER_TOKEN),
    )
)
FOLLOW_DATABASE = register(
    Job(
        name="follow_coder_database",
        every=refresh_interval,
        run=follow,
        enabled=lambda: bool(settings.CODER_DATABASE_URL),
    )
)
