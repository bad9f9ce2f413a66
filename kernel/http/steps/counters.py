"""Counts requests for all processes of one or more hosts.

The processes of one host share a file. Several hosts exchange their counts through the Redis server
in `CODERAPI_REDIS_URL`.

A request never waits for Redis. It is counted in the file of its host at once. Five times a second,
a thread of each process sends its counts to Redis, and reads the counts of all processes. So for a
fraction of a second, a host does not know the newest requests to the others.

A process sends the whole count of a minute, and not the difference to the last one. So a count may
be sent twice: a server that hangs may still execute a command when it continues.

While Redis does not respond, each host applies the limits to its own counts. The thread tries again
every five seconds, and then sends the counts of the current minute.
"""

from __future__ import annotations

import fcntl
import hashlib
import mmap
import os
import secrets
import struct
import threading
import time
from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from kernel.failures import Failures
from kernel.telemetry import metrics

SLOTS = 1 << 16
PROBES = 8
_SLOT = struct.Struct("<QII")  # the bucket's digest, its minute, its count
_SLOTS_OF_BUCKET = struct.Struct("<" + PROBES * "QII")
# The maximum number of processes with a section of their own, and the size of a section in bytes.
SECTIONS = 32
SECTION_BYTES = SLOTS * _SLOT.size
_HEADER = struct.Struct("<Q")  # the number of sections that were ever in use

EXCHANGE_SECONDS = 0.2
# The timeout for the server, which usually responds within a millisecond.
CACHE_SECONDS = 0.25
RETRY_SECONDS = 5.0
# Above this number of counts, a new one replaces the lowest of the `COMPARED` oldest ones.
MAX_COUNTS = 1 << 16
COMPARED = 8
KEPT_SECONDS = 120

# The failures since the last exchange of this process.
FAILURES = Failures(
    "Each host counts for itself, because Redis fails: %s",
    "Redis responds again. The hosts share their rate limits.",
)

type Key = tuple[str, int]
type Counter = SharedCounter | RedisCounter


class SharedCounter:
    """Counts requests in a small file that all processes of this host map into memory.

    Each process has its own section of the file, so a process never waits for another one. A count
    is the sum over all sections. If a process has ended, the next one continues with its section.

    A section is a hash table with a fixed number of slots. A bucket may use some slots beside each
    other. The hash has the secret `key`, so a client cannot choose a bucket that uses the slots of
    another one. If they are all in use, the bucket replaces the lowest count. So a flood
    of addresses needs no more memory, and resets only low counts.
    """

    def __init__(self, path: Path, *, key: bytes, sections: int = SECTIONS) -> None:
        self._key, self._sections = key, sections
        self._thread_lock = threading.Lock()
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        size = _HEADER.size + sections * SECTION_BYTES
        # While this process chooses its section, no other one does.
        fcntl.flock(self._file, fcntl.LOCK_EX)
        if os.fstat(self._file).st_size < size:
            os.ftruncate(self._file, size)
        self._map = mmap.mmap(self._file, size)
        self._own = self._claim(path)
        [used] = _HEADER.unpack_from(self._map)
        _HEADER.pack_into(self._map, 0, max(used, self._own + 1))
        fcntl.flock(self._file, fcntl.LOCK_UN)

    def _claim(self, path: Path) -> int:
        """Returns the number of the first section that no living process has.

        With more processes than sections, the others share the last section, and may miss some of
        their requests.
        """
        for number in range(self._sections):
            lock = path.with_name(f"{path.name}.{number}")
            self._lock = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            with suppress(BlockingIOError):
                # The operating system releases the lock when this process ends.
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return number
            os.close(self._lock)
        return self._sections - 1

    def add(self, bucket: str, minute: int, amount: int = 1) -> int:
        """Adds the amount to the bucket's count in that minute, and returns the count."""
        digest = hashlib.blake2b(bucket.encode(), digest_size=8, key=self._key).digest()
        key = int.from_bytes(digest, "little") or 1
        with self._thread_lock:
            count = self._add(self._own, key, minute, amount)
        [used] = _HEADER.unpack_from(self._map)
        for number in range(used):
            if number != self._own:
                count += self._add(number, key, minute, 0)
        return count

    def _add(self, section: int, key: int, minute: int, amount: int) -> int:
        first = _HEADER.size + section * SECTION_BYTES + key % (SLOTS - PROBES) * _SLOT.size
        slots = _SLOTS_OF_BUCKET.unpack_from(self._map, first)
        owners, minutes, counts = slots[::3], slots[1::3], slots[2::3]
        if key in owners:
            place = owners.index(key)
            count = amount + (counts[place] if minutes[place] == minute else 0)
        elif amount:
            # The count of another minute is over.
            used = [n if at == minute else 0 for at, n in zip(minutes, counts, strict=True)]
            place, count = used.index(min(used)), amount
        else:
            return 0
        if amount:
            _SLOT.pack_into(self._map, first + place * _SLOT.size, key, minute, count)
        return count


@dataclass(slots=True)
class _Count:
    """The requests that this process has counted, and those of all other processes."""

    own: int = 0
    others: int = 0


class RedisCounter:
    """Has the method of `SharedCounter`, and adds the counts of the other processes."""

    def __init__(
        self,
        url: str,
        local: SharedCounter,
        *,
        max_counts: int = MAX_COUNTS,
        retry_seconds: float = RETRY_SECONDS,
    ) -> None:
        # Imported here, because the import takes a tenth of the time of a start.
        import redis

        timeouts = {"socket_timeout": CACHE_SECONDS, "socket_connect_timeout": CACHE_SECONDS}
        self._redis = redis.Redis.from_url(url, **timeouts)
        self._local = local
        self._lock = threading.Lock()
        # The name of this process in the hash of a bucket.
        self._field = secrets.token_hex(8)
        self._counts: OrderedDict[Key, _Count] = OrderedDict()
        self._max_counts, self._retry_seconds = max_counts, retry_seconds
        # The counts that requests have used since the last exchange.
        self._used: set[Key] = set()
        self._minutes: set[int] = set()
        self._is_running = False

    def add(self, bucket: str, minute: int, amount: int = 1) -> int:
        """Adds the amount to the bucket's count in that minute, and returns the count."""
        own, key = self._local.add(bucket, minute, amount), (bucket, minute)
        with self._lock:
            count = self._counts.get(key)
            if count is None:
                if len(self._counts) >= self._max_counts:
                    self._evict()
                count = self._counts[key] = _Count()
            count.own += amount
            self._used.add(key)
            if not self._is_running:
                self._is_running = True
                threading.Thread(target=self._run, name="rate-limits", daemon=True).start()
            # The file contains the requests to the other processes of this host.
            return max(own, count.own + count.others)

    def _evict(self) -> None:
        """Drops a low count. A flood of addresses or names cannot drop high counts."""
        oldest = [self._counts.popitem(last=False) for _ in range(COMPARED)]
        lowest = min(oldest, key=lambda each: each[1].own + each[1].others)
        self._used.discard(lowest[0])
        self._counts.update(each for each in oldest if each is not lowest)

    def _run(self) -> None:
        """Exchanges the counts again and again. Ends when no request has changed a count since."""
        while self._exchange():
            time.sleep(self._retry_seconds if FAILURES.count else EXCHANGE_SECONDS)

    def _exchange(self) -> bool:
        """Exchanges the counts that requests have used. Returns whether there were any."""
        with self._lock:
            sent = {key: self._counts[key].own for key in self._used}
            self._forget_other_minutes()
            self._used = set()
            self._is_running = bool(sent)
        if not sent:
            return False
        try:
            totals = self._send(sent)
        except Exception as error:  # noqa: BLE001 - the thread must go on, whatever Redis answers
            FAILURES.add(type(error).__name__)
            with self._lock:
                self._used |= sent.keys() & self._counts.keys()
            return True
        FAILURES.end()
        with self._lock:
            for key, total in zip(sent, totals, strict=True):
                if count := self._counts.get(key):
                    count.others = total - sent[key]
        return True

    def _forget_other_minutes(self) -> None:
        minutes = {minute for _, minute in self._used}
        if minutes - self._minutes:
            for key in [each for each in self._counts if each[1] not in minutes]:
                del self._counts[key]
            self._minutes = minutes

    def _send(self, counts: dict[Key, int]) -> list[int]:
        """Stores the counts of this process, and returns the sums of all processes."""
        with self._redis.pipeline(transaction=False) as pipe:
            for (bucket, minute), count in counts.items():
                name = f"coderapi:rate:{bucket}:{minute}"
                pipe.hset(name, self._field, str(count))
                pipe.hvals(name)
                pipe.expire(name, KEPT_SECONDS)
            return [sum(map(int, values)) for values in pipe.execute()[1::3]]


metrics.sampled_gauge(
    "coderapi_redis_unavailable",
    "1 if a process cannot exchange its rate limits with Redis, else 0.",
    lambda: {(): float(FAILURES.count > 0)},
    mode="livemax",
)
