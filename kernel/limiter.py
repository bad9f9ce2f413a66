"""Limits how many threads may hold, or wait for, one thing, so that the others always answer.

A web process has a fixed number of threads. A slow client, a frozen database or a crowd at the
sign-in page could each occupy every thread. So anything that may take long is done in a limiter:

    searches = Limiter("searches", limit=16, per_caller=1)

    with searches.hold(user_id):
        ...

A limiter has places: a limit for all callers together, a limit for each caller, and the longest
wait for a place. Callers wait in the order in which they came. A wait that fails raises
`LimitReachedError`. The client gets 429 if its own places are taken, and 503 if all are.

**Busy or stuck.** A limiter is busy while places are *served*: a block ends without an error, and a
waiting caller gets its place. Callers then wait for their whole time-out. A limiter is stuck when
no block has ended well for a second. Waiting does not help then, so waits end after that second,
and the limiter is *failing*: it still gives free places, and refuses other callers at once, so that
they do not occupy threads. It recovers when a block ends well, or when all places are free.

**A reserve.** All requests that send CSP reports wait for the same commit, so there a place is a
report that waits. The first places, the reserve, may wait for the whole time-out even while the
limiter is stuck, and they are still given while it is failing.

| limiter | a place is | in all | one caller | wait |
| --- | --- | --- | --- | --- |
| `http.body.readers` | a body that is being read | 1/4 of the threads | 1/4 of these places | 1 s |
| `http.views.STREAMS` | a streamed answer | 1/8 of the threads | 2 | none |
| `db.backend.base` | a pooled connection | the pool, 1/8 of the threads | | 5 s |
| `csp.writing.writer` | a report that waits | 10,000; reserve 1/8 of the threads | | 5 s |
| `memory.LOOK_UPS` | reading a value | the threads | 1 for one value | 1 s |
| `tokens.middleware` | reading an unknown token | the threads | 1 | 1 s |
| `admin.SEARCHES` | a search of the admin | 1/16 of the threads | 1 | 1 s |
| `users.passwords.HASHING` | hashing a password | 1; 1/4 of the threads may wait | | 2 s |

A caller is a user or the address of a client. An IPv6 network of 64 bits counts as one address.

So a **slow client** holds a few places of `readers` (its body arrives slowly) or of `STREAMS` (it
reads slowly), and gets 429 for more. While the **database is frozen**, each place of the pool and
of the reserve holds a thread for some seconds, and other requests that need the database get 503 at
once. `kernel.memory` answers the requests that do not need it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NoReturn, Protocol
from weakref import WeakValueDictionary

# Waiting does not help if nothing has been served for this long.
STUCK_SECONDS = 1.0


class Waitable(Protocol):
    """A lock that is released when the event that a thread waits for has happened."""

    def acquire(self, *, timeout: float) -> bool: ...


class LimitReachedError(Exception):
    """No place was free in time. `is_own`: the caller's own places are taken."""

    def __init__(self, detail: str, *, is_own: bool) -> None:
        super().__init__(detail)
        self.detail = detail
        self.is_own = is_own


@dataclass(eq=False, slots=True, weakref_slot=True)
class _Share:
    """The places of all callers, or of one."""

    limit: float
    taken: int = 0
    served_at: float = float("-inf")
    is_failing: bool = False

    def has_room(self, amount: int) -> bool:
        return self.taken + amount <= self.limit

    def is_stuck(self, since: float) -> bool:
        """Returns whether a wait since then has lasted a second, and nothing was served in it."""
        return max(self.served_at, since) <= time.monotonic() - STUCK_SECONDS


@dataclass(eq=False, slots=True)
class Place:
    """A place in a limiter. Units: `since` in seconds of the monotonic clock."""

    # The share of all callers, and the caller's own one.
    shares: tuple[_Share, ...]
    amount: int
    since: float
    is_reserved: bool = False
    # Locked while its holder waits for the place.
    given: threading.Lock = field(default_factory=threading.Lock)


class Limiter:
    """Gives places to callers.

    `limit` and `per_caller` bound the places that are taken at once. A caller waits at most
    `timeout` seconds for a place, and at most `queue` callers wait. `reserve` is described above.
    `full` and `own_full` are the sentences that a refused client reads.
    """

    def __init__(
        self,
        name: str,
        *,
        limit: float = float("inf"),
        per_caller: float = float("inf"),
        timeout: float = 0.0,
        queue: float = float("inf"),
        reserve: int = 0,
        full: str = "",
        own_full: str = "",
    ) -> None:
        self._timeout = timeout
        self._queue = queue
        self._reserve = reserve
        self._full = full or f"Too many {name}."
        self._own_full = own_full or self._full
        # Re-entrant, because the garbage collector may release a place at any moment.
        self._lock = threading.RLock()
        self._all = _Share(limit)
        self._per_caller = per_caller
        # A share lives as long as a place refers to it.
        self._shares: WeakValueDictionary[Hashable, _Share] = WeakValueDictionary()
        # In the order in which they were given, and in which their callers came.
        self._places: dict[Place, None] = {}
        self._waiting: dict[Place, None] = {}

    @contextmanager
    def hold(self, caller: Hashable = None, *, amount: int = 1) -> Iterator[Place]:
        """Holds a place in the block. Raises: LimitReachedError."""
        place = self.acquire(caller, amount=amount)
        try:
            yield place
        except BaseException:
            self.release(place, served=False)
            raise
        self.release(place)

    def acquire(
        self, caller: Hashable = None, *, amount: int = 1, timeout: float | None = None
    ) -> Place:
        """Returns a place, which must be released. Raises: LimitReachedError."""
        timeout = self._timeout if timeout is None else timeout
        with self._lock:
            place = Place(self._shares_of(caller), amount, since=time.monotonic())
            if self._has_room(place):
                self._give(place)
                return place
            if timeout <= 0 or self._refuses_at_once(place):
                self._refuse(place)
            place.given.acquire()
            self._waiting[place] = None
        if not self.wait(place, place.given, timeout):
            self._give_up(place)
        return place

    def wait(self, place: Place, event: Waitable, timeout: float) -> bool:
        """Acquires the lock within the time-out. Ends sooner if stuck, except in the reserve."""
        until = time.monotonic() + timeout
        while (left := until - time.monotonic()) > 0:
            if event.acquire(timeout=left if place.is_reserved else min(left, STUCK_SECONDS)):
                return True
            if not place.is_reserved and self._is_stuck(place):
                return False
        return False

    def release(self, place: Place, *, served: bool = True) -> None:
        """Gives the place back. `served` is false if its holder failed."""
        now = time.monotonic()
        with self._lock:
            del self._places[place]
            for share in place.shares:
                share.taken -= place.amount
                if served:
                    share.served_at = now
                else:
                    share.is_failing |= share.is_stuck(place.since)
                if served or not share.taken:
                    share.is_failing = False
            for waiting in tuple(self._waiting):
                if self._has_room(waiting):
                    del self._waiting[waiting]
                    self._give(waiting)
                    waiting.given.release()

    @property
    def waiting(self) -> int:
        """The number of callers that wait for a place."""
        return len(self._waiting)

    def seconds_of_oldest(self) -> float:
        """Returns how long the oldest place has been held; 0 if every place is free."""
        with self._lock:
            oldest = next(iter(self._places), None)
            return time.monotonic() - oldest.since if oldest else 0.0

    def _shares_of(self, caller: Hashable) -> tuple[_Share, ...]:
        if caller is None:
            return (self._all,)
        return self._all, self._shares.setdefault(caller, _Share(self._per_caller))

    def _has_room(self, place: Place) -> bool:
        if self._all.is_failing and self._reserve:
            return self._all.taken < self._reserve
        return not self._full_shares(place)

    def _refuses_at_once(self, place: Place) -> bool:
        if self._reserve or len(self._waiting) >= self._queue:
            return True
        return any(share.is_failing for share in self._full_shares(place))

    def _full_shares(self, place: Place) -> list[_Share]:
        return [share for share in place.shares if not share.has_room(place.amount)]

    def _is_stuck(self, place: Place) -> bool:
        with self._lock:
            shares = self._full_shares(place) or [self._all]
            return any(share.is_stuck(place.since) for share in shares)

    def _give(self, place: Place) -> None:
        place.is_reserved = self._all.taken < self._reserve
        for share in place.shares:
            share.taken += place.amount
        place.since = time.monotonic()
        self._places[place] = None

    def _give_up(self, place: Place) -> None:
        with self._lock:
            if place not in self._waiting:
                return  # Another thread has just given the place.
            del self._waiting[place]
            for share in self._full_shares(place):
                share.is_failing |= share.is_stuck(place.since)
            self._refuse(place)

    def _refuse(self, place: Place) -> NoReturn:
        is_own = any(share is not self._all for share in self._full_shares(place))
        raise LimitReachedError(self._own_full if is_own else self._full, is_own=is_own)
