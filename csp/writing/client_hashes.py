"""Hashes the addresses of clients. Each day has a key, which is deleted a day later."""

from __future__ import annotations

import hashlib
import secrets
from datetime import date, datetime

from csp.models import ClientKey
from csp.parsing.formats import MAX_WORD
from csp.writing.entries import Sender
from csp.writing.sites import coder_sites
from kernel.memory import CachedValue, Memory
from kernel.running_coder import running

KEY_BYTES = 32
# Two keys are cached, because reports of two days arrive around midnight.
DAY_KEYS: Memory[date, bytes] = Memory("client keys", capacity=2)


def sender_of(
    *, address: str, user_agent: str, caller: str, now: datetime, version: str = ""
) -> Sender:
    """Returns the sender of a request with reports. Raises: DatabaseError."""
    # Beside Coder, the first call waits. This call loads the key, so `is_key_in_memory` is true
    # afterwards.
    coder_version = running()
    key = key_of(now.date())
    return Sender(
        received_at=now,
        client=client_hash(address, key),
        caller=client_hash(caller, key) if caller else b"",
        user_agent=user_agent,
        version=version,
        coder_version=coder_version[:MAX_WORD],
        coder_sites=coder_sites(),
    )


def client_hash(address: str, key: bytes) -> bytes:
    """Returns the hash of an IP address with the key of a UTC day, in 16 bytes."""
    return hashlib.blake2b(address.encode(), digest_size=16, key=key).digest()


def is_key_in_memory(day: date) -> bool:
    """Returns whether `sender_of` needs no query."""
    return DAY_KEYS.get(day) is not None


def key_of(day: date) -> bytes:
    """Returns the key that all processes use on this day. Generates a missing key."""
    return DAY_KEYS.get(day) or DAY_KEYS.load(day, lambda: _read(day))


def _read(day: date) -> CachedValue[bytes]:
    new = {"key": secrets.token_bytes(KEY_BYTES)}
    return CachedValue(bytes(ClientKey.objects.get_or_create(day=day, defaults=new)[0].key))
