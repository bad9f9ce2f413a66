"""The header that tells a caller's log that its key is about to end (RFC 8594)."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import lru_cache

from django.utils.http import http_date

from kernel.http.identity import Identity
from users.identity import KeyIdentity

HEADER = "Sunset"
SOON = timedelta(days=7)


def sunset(identity: Identity | None, *, now: datetime) -> str:
    """When the caller's key ends, as an HTTP date, if that is in less than a week; else ""."""
    if not isinstance(identity, KeyIdentity) or identity.expires_at - now >= SOON:
        return ""
    return _shown(identity.expires_at)


@lru_cache(maxsize=1024)
def _shown(moment: datetime) -> str:
    return http_date(moment.timestamp())
