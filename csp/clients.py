"""Whom a report came from, within one day: a hash whose key is deleted once the day is over."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from datetime import date
from functools import lru_cache

from django.db import connection

KEY_BYTES = 32
# Around midnight two days are asked for in turn; none is to be known for longer.
DAYS_REMEMBERED = 2

_KEEP = "INSERT INTO csp_clientkey (day, key) VALUES (%s, %s) ON CONFLICT DO NOTHING"
_READ = "SELECT key FROM csp_clientkey WHERE day = %s"


def client_of(address: str, day: date) -> bytes:
    """Stands for a client's address within one UTC day, and for nothing after it. 16 bytes.

    Of an unknown address, as imported reports have, only the day is known. Raises: DatabaseError.
    """
    return client_hash(address, key_of(day)) if address else day.isoformat().encode()


def client_hash(address: str, key: bytes) -> bytes:
    return hmac.digest(key, address.encode(), hashlib.sha256)[:16]


@lru_cache(maxsize=DAYS_REMEMBERED)
def key_of(day: date) -> bytes:
    """The day's key, which all processes share and which is drawn when one first asks."""
    with connection.cursor() as cursor:
        cursor.execute(_KEEP, [day, secrets.token_bytes(KEY_BYTES)])
        cursor.execute(_READ, [day])
        return bytes(cursor.fetchone()[0])
