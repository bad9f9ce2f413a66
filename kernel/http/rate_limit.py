"""Limits the number of requests per minute, for all processes of one or more hosts.

The processes of one host share a file. Several hosts exchange their counts through the Redis server
in `CACHE_URL` (`redis_counter`).
"""

from __future__ import annotations

import fcntl
import hashlib
import mmap
import os
import struct
import tempfile
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured

from kernel.http import API_PREFIX
from kernel.http.call import Call
from kernel.http.errors import APIError, too_many
from kernel.http.hosts import rate_limit_bucket, wide_bucket
from kernel.http.identity import Identity
from kernel.http.redis_counter import RedisCounter
from kernel.http.steps import Results
from kernel.settings import settings

WINDOW_SECONDS = 60
# The limit of an IPv6 /48 network, as a multiple of the limit of a client.
WIDE_FACTOR = 4
SLOTS = 1 << 16
PROBES = 8
BYPASS_HEADER = "x-coder-bypass-ratelimit"
_SLOT = struct.Struct("<QII")  # the bucket's digest, its minute, its count
_SLOTS_OF_BUCKET = struct.Struct("<" + PROBES * "QII")
# The maximum number of processes with a section of their own, and the size of a section in bytes.
SECTIONS = 32
SECTION_BYTES = SLOTS * _SLOT.size
_HEADER = struct.Struct("<Q")  # the number of sections that were ever in use


@dataclass(frozen=True, slots=True)
class Verdict:
    """The state of a rate limit after a request at the Unix time `now`, in seconds."""

    limit: int
    count: int
    now: int

    @property
    def refused(self) -> bool:
        return self.count > self.limit

    def headers(self) -> dict[str, str]:
        reset = (self.now // WINDOW_SECONDS + 1) * WINDOW_SECONDS
        retry = {"Retry-After": str(reset - self.now)} if self.refused else {}
        return {
            "X-RateLimit-Limit": str(self.limit),
            "X-RateLimit-Remaining": str(max(0, self.limit - self.count)),
            "X-RateLimit-Reset": str(reset),
            **retry,
        }

    def refusal(self, *, noun: str = "requests") -> APIError | None:
        """Returns the error for a request over the limit, or None."""
        detail = f"The limit is {self.limit} {noun} a minute."
        return too_many(detail, self.headers()) if self.refused else None


def check(counter: Counter, bucket: str, *, limit: int, now: float, amount: int = 1) -> Verdict:
    """Adds `amount` to the bucket's count, and compares the count with `limit` per minute."""
    count = counter.add(bucket, int(now) // WINDOW_SECONDS, amount)
    return Verdict(limit, count, int(now))


def check_client(kind: str, address: str, *, limit: int, now: float, amount: int = 1) -> Verdict:
    """Counts requests of an address, and compares the count with `limit` per minute.

    An IPv6 /48 network has `WIDE_FACTOR` times this limit. Requests above the limit of a client do
    not count for its network, so one client cannot use up the limit of the others.
    """
    counter, wide = shared_counter(), wide_bucket(address)
    bucket = f"{kind}:{rate_limit_bucket(address)}"
    verdict = check(counter, bucket, limit=limit, now=now, amount=amount)
    if wide and not verdict.refused:
        limit *= WIDE_FACTOR
        of_all = check(counter, f"{kind}:{wide}", limit=limit, now=now, amount=amount)
        return of_all if of_all.refused else verdict
    return verdict


class SharedCounter:
    """Counts requests in a small file that all processes of this host map into memory.

    Each process has its own section of the file, so a process never waits for another one. A count
    is the sum over all sections. If a process has ended, the next one continues with its section.

    A section is a hash table with a fixed number of slots. If all slots that a bucket may use are
    in use, the bucket replaces the oldest one. So requests from many addresses can reset the counts
    of other clients. But they cannot increase the use of memory, and they cannot cause other
    clients' requests to be rejected.
    """

    def __init__(self, path: Path) -> None:
        self._thread_lock = threading.Lock()
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        size = _HEADER.size + SECTIONS * SECTION_BYTES
        # While this process chooses its section, no other one does.
        fcntl.flock(self._file, fcntl.LOCK_EX)
        if os.fstat(self._file).st_size < size:
            os.ftruncate(self._file, size)
        self._map = mmap.mmap(self._file, size)
        self._own = self._claim(path)
        used = max(self._used(), self._own + 1)
        _HEADER.pack_into(self._map, 0, used)
        fcntl.flock(self._file, fcntl.LOCK_UN)

    def _claim(self, path: Path) -> int:
        """Returns the number of the first section that no living process has.

        With more processes than sections, the others share the last section, and may miss some of
        their requests.
        """
        for number in range(SECTIONS):
            lock = path.with_name(f"{path.name}.{number}")
            self._lock = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            with suppress(BlockingIOError):
                # The operating system releases the lock when this process ends.
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return number
            os.close(self._lock)
        return SECTIONS - 1

    def _used(self) -> int:
        return int(_HEADER.unpack_from(self._map)[0])

    def add(self, bucket: str, minute: int, amount: int = 1) -> int:
        """Adds the amount to the bucket's count in that minute, and returns the count."""
        digest = hashlib.blake2b(bucket.encode(), digest_size=8).digest()
        key = int.from_bytes(digest, "little") or 1
        with self._thread_lock:
            count = self._add(self._own, key, minute, amount)
        others = (number for number in range(self._used()) if number != self._own)
        return count + sum(self._add(number, key, minute, 0) for number in others)

    def _add(self, section: int, key: int, minute: int, amount: int) -> int:
        first = _HEADER.size + section * SECTION_BYTES + key % (SLOTS - PROBES) * _SLOT.size
        slots = _SLOTS_OF_BUCKET.unpack_from(self._map, first)
        owners, minutes, counts = slots[::3], slots[1::3], slots[2::3]
        place = owners.index(key) if key in owners else minutes.index(min(minutes))
        is_current = (owners[place], minutes[place]) == (key, minute)
        count = (counts[place] if is_current else 0) + amount
        if amount:
            _SLOT.pack_into(self._map, first + place * _SLOT.size, key, minute, count)
        return count


type Counter = SharedCounter | RedisCounter


def count_or_refuse(bucket: str, *, limit: int, noun: str) -> None:
    """Counts one request of the bucket. `noun` names the requests in the error message.

    Raises: APIError 429 if the bucket has more than `limit` in this minute.
    """
    verdict = check(shared_counter(), bucket, limit=limit, now=time.time())
    if refusal := verdict.refusal(noun=noun):
        raise refusal


@cache
def shared_counter() -> Counter:
    """Returns the counter of this host. With CACHE_URL, it also has the counts of other hosts."""
    local = SharedCounter(private_directory() / "request-counts")
    return RedisCounter(settings.CACHE_URL, local) if settings.CACHE_URL else local


def private_directory() -> Path:
    """Creates a temporary directory that the processes of this service share.

    Raises: ImproperlyConfigured if the directory belongs to another user.
    """
    service = f"{settings.SECRET_KEY}:{settings.DATABASES['default'].get('NAME')}"
    digest = hashlib.sha256(service.encode()).hexdigest()[:16]
    path = Path(tempfile.gettempdir()) / f"coderapi-shared-{os.getuid()}-{digest}"
    path.mkdir(mode=0o700, exist_ok=True)
    status = path.lstat()
    if status.st_uid != os.getuid() or status.st_mode & 0o077 or path.is_symlink():
        raise ImproperlyConfigured(f"{path} must be a directory of this user, with mode 0700.")
    return path


def count_request(call: Call, found: Results) -> Verdict | None:
    """Counts a request for the API by its user or IP address. This is a step of a request.

    Requests for a path in `RATE_LIMITS_APART` are counted separately, so that the many CSP reports
    of a browser do not use up a user's limit for the API. Raises: APIError 429 over the limit.
    """
    verdict = verdict_on(found)
    if verdict and (refusal := verdict.refusal()):
        raise refusal
    return verdict


def verdict_on(request: Results, *, amount: int = 1) -> Verdict | None:
    """Counts a request and returns its verdict, or None if no limit applies.

    The step counts one for each request. If a limit counts the items in a request, the view calls
    this function again for the other items, and passes their number as `amount`.
    """
    path, identity = request.path, request.caller.identity
    if not path.startswith(API_PREFIX):
        return None
    apart = path in settings.RATE_LIMITS_APART
    limit = settings.RATE_LIMITS_APART[path] if apart else settings.API_RATE_LIMIT
    is_owner = identity is not None and identity.has_role("owner")
    if limit is None or (is_owner and request.call.headers.get(BYPASS_HEADER) == "true"):
        return None
    kind, now = f"{path}:" if apart else "", time.time()
    if identity is None:
        return check_client(f"{kind}ip", request.address, limit=limit, now=now, amount=amount)
    bucket = kind + bucket_of(identity, request.address)
    return check(shared_counter(), bucket, limit=limit, now=now, amount=amount)


def bucket_of(identity: Identity | None, address: str) -> str:
    return f"user:{identity.user_id}" if identity else f"ip:{rate_limit_bucket(address)}"
