from __future__ import annotations

from datetime import datetime, timedelta

from beside import token_policy
from jobs.registry import Job, register


def _apply_token_policy(now: datetime) -> int:
    return len(token_policy.apply(now))


register(
    Job(
        name=token_policy.JOB,
        every=timedelta(hours=1),
        run=_apply_token_policy,
        enabled=token_policy.is_on,
    )
)
