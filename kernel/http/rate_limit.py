"""Counting requests by the minute: exact over one host's processes, or over hosts through Redis."""

from __future__ import annotations

import fcntl
import hashlib
import logging
import mmap
import os
import struct
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import redis

WINDOW_SECONDS = 60
SLOTS = 1 << 16
PROBES = 8
_SLOT = struct.Struct("<QII")  # what is counted, its minute, its count

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one request found: the limit, what remains of it, and when (unix seconds) it resets."""

    limit: int
    remaining: int
    reset: int
    refused: bool

    def headers(self, now: float) -> dict[str, str]:
        found = {
            "X-RateLimit-Limit": str(self.limit),
            "X-RateLimit-Remaining": str(self.remaining),
            "X-RateLimit-Reset": str(self.reset),
        }
        if self.refused:
            found["Retry-After"] = str(max(1, self.reset - int(now)))
        return found


class Counter(Protocol):
    def add(self, bucket: str, minute: int, amount: int = 1) -> int:
        """The bucket's count in that minute after adding `amount` (0 only reads)."""
        ...


def check(counter: Counter, bucket: str, *, limit: int, now: float) -> Verdict:
    """Counts one request of the bucket and says whether it is within `limit` a minute."""
    minute = int(now) // WINDOW_SECONDS
    count = counter.add(bucket, minute)
    return Verdict(
        limit=limit,
        remaining=max(0, limit - count),
        reset=(minute + 1) * WINDOW_SECONDS,
        refused=count > limit,
    )


class SharedCounter:
    """Counts in a small file that every process of this host maps into its memory.

    A fixed table of slots, probed by hash: when a neighbourhood is full, the oldest slot of it is
    taken over, so memory is bounded and a flood of addresses can at worst forgive, never refuse.
    """

    def __init__(self, path: Path) -> None:
        self._thread_lock = threading.Lock()
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        if os.fstat(self._file).st_size < SLOTS * _SLOT.size:
            os.ftruncate(self._file, SLOTS * _SLOT.size)
        self._map = mmap.mmap(self._file, SLOTS * _SLOT.size)

    def add(self, bucket: str, minute: int, amount: int = 1) -> int:
        digest = hashlib.blake2b(bucket.encode(), digest_size=8).digest()
        key = int.from_bytes(digest, "little") or 1
        with self._thread_lock:
            # A record lock on the file keeps other processes out; the kernel frees it at death.
            fcntl.lockf(self._file, fcntl.LOCK_EX, 1, 0)
            try:
                return self._add(key, minute & 0xFFFFFFFF, amount)
            finally:
                fcntl.lockf(self._file, fcntl.LOCK_UN, 1, 0)

    def clear(self) -> None:
        """Forgets every count."""
        with self._thread_lock:
            self._map[:] = bytes(len(self._map))

    def _add(self, key: int, minute: int, amount: int) -> int:
        offset = self._find(key, minute)
        held, at, count = _SLOT.unpack_from(self._map, offset)
        count = (count if (held, at) == (key, minute) else 0) + amount
        if amount:
            _SLOT.pack_into(self._map, offset, key, minute, min(count, 0xFFFFFFFF))
        return count

    def _find(self, key: int, minute: int) -> int:
        offsets = [(key + probe) % SLOTS * _SLOT.size for probe in range(PROBES)]
        oldest, oldest_minute = offsets[0], 1 << 32
        for offset in offsets:
            held, at, _ = _SLOT.unpack_from(self._map, offset)
            if held == key:
                return offset
            if at < oldest_minute:
                oldest, oldest_minute = offset, at
        return oldest


class RedisCounter:
    """Counts on a Redis-protocol server, for several hosts. Fails open, saying so once a minute."""

    def __init__(self, url: str) -> None:
        self._redis = redis.Redis.from_url(url, socket_timeout=0.25, socket_connect_timeout=0.25)
        self._complained_at = 0

    def add(self, bucket: str, minute: int, amount: int = 1) -> int:
        key = f"coderapi:rate:{bucket}:{minute}"
        try:
            with self._redis.pipeline() as pipe:
                pipe.incrby(key, amount)
                pipe.expire(key, 2 * WINDOW_SECONDS)
                return int(pipe.execute()[0])
        except redis.RedisError as error:
            if self._complained_at != minute:
                self._complained_at = minute
                name = type(error).__name__
                log.warning("rate limits are off: the cache server does not answer: %s", name)
            return 0

    def clear(self) -> None:
        """Forgets every count of ours."""
        for key in self._redis.scan_iter("coderapi:rate:*"):
            self._redis.delete(key)
