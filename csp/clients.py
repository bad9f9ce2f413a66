"""Whom a report came from, within one day: a hash whose key is deleted once the day is over."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import threading
from datetime import date

from django.db import connection

KEY_BYTES = 32
# Around midnight two days are asked for in turn; none is to be known for longer.
DAYS_REMEMBERED = 2

_keys: dict[date, bytes] = {}
_asking = threading.Lock()

_KEEP = "INSERT INTO csp_clientkey (day, key) VALUES (%s, %s) ON CONFLICT DO NOTHING"
_READ = "SELECT key FROM csp_clientkey WHERE day = %s"


def client_of(address: str, day: date) -> bytes:
    """Stands for a client's address within one UTC day, and for nothing after it. 16 bytes.

    Of an unknown address, as imported reports have, only the day is known. Raises: DatabaseError.
    """
    return client_hash(address, key_of(day)) if address else day.isoformat().encode()


def client_hash(address: str, key: bytes) -> bytes:
    return hmac.digest(key, address.encode(), hashlib.sha256)[:16]


def key_of(day: date) -> bytes:
    """The day's key, which all processes share and which is drawn when one first asks."""
    found = _keys.get(day)
    if found is None:
        # One asks for all: at midnight, every thread would else take a connection for the same row.
        with _asking:
            found = _keys.get(day) or _read(day)
    return found


def _read(day: date) -> bytes:
    with connection.cursor() as cursor:
        cursor.execute(_KEEP, [day, secrets.token_bytes(KEY_BYTES)])
        cursor.execute(_READ, [day])
        key = bytes(cursor.fetchone()[0])
    if len(_keys) >= DAYS_REMEMBERED:
        _keys.clear()
    _keys[day] = key
    return key


def forget_keys() -> None:
    """Has the next report ask for its day's key again."""
    _keys.clear()
