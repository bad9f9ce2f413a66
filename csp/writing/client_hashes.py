"""Hashes the addresses of clients. Each day has a key, which is deleted a day later.

The first half of a hash is the hash of the client's network. So the networks of clients can be
counted (see `kernel.http.steps.hosts.network_of`).
"""

from __future__ import annotations

import hashlib
import secrets
from datetime import date, datetime
from functools import lru_cache

from csp.models import ClientKey
from csp.scrubbing.encodings import MAX_WORD
from csp.writing.entries import Caller, Sender
from csp.writing.sites import coder_sites
from kernel.coder.running import running
from kernel.http.steps.hosts import client_of, network_of
from kernel.memory import CachedValue, Memory

KEY_BYTES = 32
# The first bytes of a client's hash, which all clients of its network share.
NETWORK_BYTES = 8
# Two keys are cached, because reports of two days arrive around midnight.
DAY_KEYS: Memory[date, bytes] = Memory("client keys", capacity=2)


def sender_of(
    *, address: str, user_agent: str, caller: str, now: datetime, share: int = 1, version: str = ""
) -> Sender:
    """Returns the sender of a request with reports.

    `caller` is the name of the caller to which limits apply, or "", and `share` multiplies them.
    Raises: DatabaseError.
    """
    # Beside Coder, the first call waits. This call loads the key, so `is_key_in_memory` is true
    # afterwards.
    coder_version = running()
    key = key_of(now.date())
    client = client_address_hash(address, key)
    limited = Caller(_hashed(caller, key, size=16), client[:NETWORK_BYTES], share)
    return Sender(
        received_at=now,
        client=client,
        caller=limited if caller else None,
        user_agent=user_agent,
        version=version,
        coder_version=coder_version[:MAX_WORD],
        coder_sites=coder_sites(),
    )


@lru_cache(maxsize=1024)
def client_address_hash(address: str, key: bytes) -> bytes:
    """Returns the hash of a client with the key of a UTC day, in 16 bytes."""
    network = _hashed(network_of(address), key, size=NETWORK_BYTES)
    return network + _hashed(client_of(address), key, size=8)


def _hashed(text: str, key: bytes, *, size: int) -> bytes:
    return hashlib.blake2b(text.encode(), digest_size=size, key=key).digest()


def is_key_in_memory(day: date) -> bool:
    """Returns whether `sender_of` needs no query."""
    return DAY_KEYS.get(day) is not None


def key_of(day: date) -> bytes:
    """Returns the key that all processes use on this day. Generates a missing key."""
    return DAY_KEYS.load(day, lambda: _read(day))


def _read(day: date) -> CachedValue[bytes]:
    new = {"secret": secrets.token_bytes(KEY_BYTES)}
    return CachedValue(bytes(ClientKey.objects.get_or_create(day=day, defaults=new)[0].secret))
