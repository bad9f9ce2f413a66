"""Verified keys, remembered so that most requests ask PostgreSQL nothing.

An entry is forgotten when the key or its user changes anywhere (the tables' triggers announce it),
when it is a minute old, and when its key's next write is due. While this process does not hear of
changes, no key is remembered, but for half a minute of a database that answers nobody. Refused
tokens are remembered for a minute, too: a client that does not give up costs nothing.
"""

from __future__ import annotations

import hashlib
import threading
import time
from dataclasses import dataclass, replace
from datetime import datetime

from kernel.db import listener
from kernel.http.errors import APIError
from users.permissions import KeyIdentity

CAPACITY = 10_000
MAX_AGE_SECONDS = 60.0
KEY_TOPIC = "key"
USER_TOPIC = "user"


@dataclass(frozen=True, slots=True)
class Remembered:
    """A verified key, which need not be looked up before `until`, nor when it is too old.

    Its age is counted by the clock that never jumps.
    """

    identity: KeyIdentity
    until: datetime
    old_from: float


class KeyMemory:
    def __init__(self, capacity: int = CAPACITY) -> None:
        self._capacity = capacity
        self._lock = threading.Lock()
        self._entries: dict[bytes, Remembered] = {}
        self._of_key: dict[str, bytes] = {}
        self._refused: dict[bytes, tuple[APIError, float]] = {}
        self._generation = 0
        self.hits = 0
        self.misses = 0

    @property
    def generation(self) -> int:
        """Changes whenever anything is forgotten; read it before asking the database."""
        return self._generation

    def recall(self, token: str, *, now: datetime) -> KeyIdentity | None:
        found = self._entries.get(_fingerprint(token)) if listener.is_fresh() else None
        if found is None or found.until <= now:
            return None
        # None grows old while the database answers nobody.
        fresh = found.old_from > time.monotonic() or not listener.is_connected()
        return found.identity if fresh else None

    def remember(
        self, token: str, identity: KeyIdentity, *, until: datetime, generation: int
    ) -> None:
        """Keeps the identity, unless something was forgotten since `generation` was read."""
        fingerprint = _fingerprint(token)
        entry = Remembered(identity, until, _old_from())
        with self._lock:
            if generation != self._generation:
                return
            if len(self._entries) >= self._capacity:
                self._forget(next(iter(self._entries)))
            self._entries[fingerprint] = entry
            self._of_key[identity.key_id] = fingerprint

    def refusal(self, token: str) -> APIError | None:
        """Returns the answer to a token that was refused in the last minute."""
        refusal, old_from = self._refused.get(_fingerprint(token), (None, 0.0))
        # A copy: raising an exception adds to it, and keeps what its frames hold.
        return replace(refusal) if refusal and old_from > time.monotonic() else None

    def refuse(self, token: str, refusal: APIError, *, generation: int) -> None:
        """Keeps the refusal, unless something was forgotten since `generation` was read."""
        with self._lock:
            if generation != self._generation:
                return
            if len(self._refused) >= self._capacity:
                del self._refused[next(iter(self._refused))]
            self._refused[_fingerprint(token)] = replace(refusal), _old_from()

    def forget_key(self, key_id: str) -> None:
        """Forgets one key, or everything for ""."""
        with self._lock:
            self._generation += 1
            self._refused.clear()
            if not key_id:
                self._entries.clear()
                self._of_key.clear()
            elif (fingerprint := self._of_key.get(key_id)) is not None:
                self._forget(fingerprint)

    def forget_user(self, user_id: str) -> None:
        """Forgets every key of one user, or everything for ""."""
        if not user_id:
            self.forget_key("")
            return
        with self._lock:
            self._generation += 1
            self._refused.clear()
            of_user = [
                fingerprint
                for fingerprint, entry in self._entries.items()
                if str(entry.identity.user_id) == user_id
            ]
            for fingerprint in of_user:
                self._forget(fingerprint)

    def _forget(self, fingerprint: bytes) -> None:
        entry = self._entries.pop(fingerprint, None)
        if entry is not None:
            self._of_key.pop(entry.identity.key_id, None)


def _old_from() -> float:
    return time.monotonic() + MAX_AGE_SECONDS


def _fingerprint(token: str) -> bytes:
    """Hashes a token, so that the memory holds no usable secret."""
    return hashlib.sha256(token.encode()).digest()


memory = KeyMemory()
listener.subscribe(KEY_TOPIC, memory.forget_key)
listener.subscribe(USER_TOPIC, memory.forget_user)
