from __future__ import annotations

from datetime import datetime, timedelta

from django.conf import settings
from django.contrib.sessions.models import Session

from jobs.registry import Job, register
from tokens import digest
from tokens.services import prune_expired_keys


def _prune(now: datetime) -> int:
    sessions = Session.objects.filter(expire_date__lt=now).delete()[0]
    return sessions + prune_expired_keys(retention=settings.API_KEYS_RETENTION, now=now)


register(Job(name="prune_api_keys", every=timedelta(hours=1), run=_prune))
register(
    Job(
        name="token_expiry_digest",
        every=timedelta(hours=1),
        run=digest.send_digests,
        enabled=digest.is_on,
    )
)
