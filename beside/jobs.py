from __future__ import annotations

from datetime import timedelta

from django.conf import settings

from beside import token_policy
from beside.checks import setup
from beside.database import follower
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
register(
    Job(
        name=setup.JOB,
        every=timedelta(days=1),
        run=setup.check_token,
        enabled=lambda: bool(settings.CODER_TOKEN),
    )
)
register(
    Job(
        name=follower.JOB,
        every=refresh_interval,
        run=follower.follow,
        enabled=lambda: bool(settings.CODER_DATABASE_URL),
    )
)
