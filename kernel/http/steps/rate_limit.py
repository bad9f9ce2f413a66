"""Limits the number of requests per minute, for all processes of one or more hosts.

The processes of one host share a file. Several hosts exchange their counts through the Redis server
in `CODERAPI_REDIS_URL` (`redis_counter`).
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
from functools import cache
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured
from django.urls import get_resolver

from kernel.http import is_api_path
from kernel.http.call import Call
from kernel.http.headers import BYPASS_RATE_LIMIT
from kernel.http.identity import Identity
from kernel.http.results import WINDOW_SECONDS, Results, Verdict
from kernel.http.steps.hosts import client_of
from kernel.http.steps.redis_counter import RedisCounter
from kernel.http.views.base import API_RATE_LIMIT, view_classes
from kernel.settings import settings

# The limit of an IPv6 /48 network, as a multiple of the limit of an IPv4 address. A network may
# belong to one person, or to many customers of a provider.
NETWORK_FACTOR = 4
SLOTS = 1 << 16
PROBES = 8
_BYPASS = BYPASS_RATE_LIMIT.lower()
_SLOT = struct.Struct("<QII")  # the bucket's digest, its minute, its count
_SLOTS_OF_BUCKET = struct.Struct("<" + PROBES * "QII")
# The maximum number of processes with a section of their own, and the size of a section in bytes.
SECTIONS = 32
SECTION_BYTES = SLOTS * _SLOT.size
_HEADER = struct.Struct("<Q")  # the number of sections that were ever in use


def check(counter: Counter, bucket: str, *, limit: int, now: float, amount: int = 1) -> Verdict:
    """Adds `amount` to the bucket's count, and compares the count with `limit` per minute."""
    count = counter.add(bucket, int(now) // WINDOW_SECONDS, amount)
    return Verdict(limit, count, int(now))


def check_client(kind: str, address: str, *, limit: int, now: float, amount: int = 1) -> Verdict:
    """Counts requests of a client, and compares the count with its limit per minute."""
    client = client_of(address)
    limit = limit_of(client, limit)
    return check(shared_counter(), f"{kind}:{client}", limit=limit, now=now, amount=amount)


def limit_of(client: str, limit: int) -> int:
    """Returns the limit of a client. `limit` is the limit of an IPv4 address."""
    return limit * NETWORK_FACTOR if ":" in client else limit


class SharedCounter:
    """Counts requests in a small file that all processes of this host map into memory.

    Each process has its own section of the file, so a process never waits for another one. A count
    is the sum over all sections. If a process has ended, the next one continues with its section.

    A section is a hash table with a fixed number of slots. A bucket may use some slots beside each
    other. The hash has the secret `key`, so a client cannot choose a bucket that uses the slots of
    another one. If they are all in use, the bucket replaces the lowest count. So a flood
    of addresses needs no more memory, and resets only low counts.
    """

    def __init__(self, path: Path, *, key: bytes) -> None:
        self._key = key
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
        digest = hashlib.blake2b(bucket.encode(), digest_size=8, key=self._key).digest()
        key = int.from_bytes(digest, "little") or 1
        with self._thread_lock:
            count = self._add(self._own, key, minute, amount)
        for number in range(self._used()):
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


type Counter = SharedCounter | RedisCounter


@cache
def shared_counter() -> Counter:
    """Returns the counter of this host's clients, and with CODERAPI_REDIS_URL of all hosts'."""
    return _counter("request-counts")


@cache
def counter_of_names() -> Counter:
    """Returns the counter of names that clients invent.

    Its table is another one, so a flood of names does not reset the counts of clients.
    """
    return _counter("name-counts")


def _counter(file: str) -> Counter:
    key = hashlib.sha256(settings.SECRET_KEY.encode()).digest()
    local = SharedCounter(private_directory() / file, key=key)
    return RedisCounter(settings.REDIS_URL, local) if settings.REDIS_URL else local


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

    Routes with another limit than the API are counted separately, so that the many CSP reports of a
    browser do not use up a user's limit for the API. Raises: APIError 429 over the limit.
    """
    verdict = verdict_on(found)
    if verdict:
        verdict.enforce()
    return verdict


def verdict_on(request: Results, *, amount: int = 1) -> Verdict | None:
    """Counts a request and returns its verdict, or None if no limit applies.

    The step counts one for each request. If a limit counts the items in a request, the view calls
    this function again for the other items, and passes their number as `amount`.
    """
    path, identity = request.path, request.caller.identity
    if not is_api_path(path):
        return None
    name = _limits_of_routes(settings.ROOT_URLCONF).get(path, API_RATE_LIMIT)
    limit = getattr(settings, name)
    is_owner = identity is not None and identity.has_role("owner")
    if limit is None or (is_owner and request.call.headers.get(_BYPASS) == "true"):
        return None
    kind, now = "" if name == API_RATE_LIMIT else f"{name}:", time.time()
    if identity is None:
        return check_client(f"{kind}ip", request.address, limit=limit, now=now, amount=amount)
    bucket = kind + bucket_of(identity, request.address)
    return check(shared_counter(), bucket, limit=limit, now=now, amount=amount)


@cache
def _limits_of_routes(urlconf: str) -> dict[str, str]:
    """Returns the names of the limits of the routes, by path."""
    routes = view_classes(get_resolver(urlconf))
    return {path: getattr(view, "rate_limit", API_RATE_LIMIT) for path, view in routes}


def bucket_of(identity: Identity | None, address: str) -> str:
    return f"user:{identity.user_id}" if identity else f"ip:{client_of(address)}"
