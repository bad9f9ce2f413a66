"""Counts requests for several hosts, which exchange their counts through a Redis server.

A request never waits for the server. It is counted in the file of its host at once. Five times a
second, a thread of each process sends its counts to the server, and reads the counts of all
processes. So for a fraction of a second, a host does not know the newest requests to the others.

A process sends the whole count of a minute, and not the difference to the last one. So a count may
be sent twice: a server that hangs may still execute a command when it continues.

While the server does not respond, each host applies the limits to its own counts. The thread tries
again every five seconds, and then sends the counts of the current minute.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kernel.failures import Failures
from kernel.telemetry import metrics

if TYPE_CHECKING:
    from kernel.http.steps.rate_limit import SharedCounter

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


@dataclass(slots=True)
class _Count:
    """The requests that this process has counted, and those of all other processes."""

    own: int = 0
    others: int = 0


class RedisCounter:
    """Has the method of `SharedCounter`, and adds the counts of the other processes."""

    def __init__(self, url: str, local: SharedCounter, *, max_counts: int = MAX_COUNTS) -> None:
        # Imported here, because the import takes a tenth of the time of a start.
        import redis

        timeouts = {"socket_timeout": CACHE_SECONDS, "socket_connect_timeout": CACHE_SECONDS}
        self._redis = redis.Redis.from_url(url, **timeouts)
        self._local = local
        self._lock = threading.Lock()
        # The name of this process in the hash of a bucket.
        self._field = secrets.token_hex(8)
        self._counts: OrderedDict[Key, _Count] = OrderedDict()
        self._max_counts = max_counts
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
            time.sleep(RETRY_SECONDS if FAILURES.count else EXCHANGE_SECONDS)

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
