from __future__ import annotations

from datetime import datetime, timedelta

from django.conf import settings
from django.contrib.sessions.models import Session

from jobs.registry import Job, register
from tokens import digest
from tokens.models import APIKey


def _prune(now: datetime) -> int:
    """Deletes expired sessions of the admin, and old expired keys. Returns the number of rows.

    A retention of 0 keeps all keys.
    """
    deleted = Session.objects.filter(expire_date__lt=now).delete()[0]
    if retention := settings.API_KEYS_RETENTION:
        deleted += APIKey.objects.filter(expires_at__lt=now - retention).delete()[0]
    return deleted


HOUR = timedelta(hours=1)
register(Job(name="prune_api_keys", every=HOUR, run=_prune))
register(Job(name="token_expiry_digest", every=HOUR, run=digest.send_digests, enabled=digest.is_on))
