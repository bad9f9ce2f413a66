"""Limits how many threads may hold, or wait for, one thing, so that the others always answer.

A web process has a fixed number of threads. A slow client, a frozen database or a crowd at the
sign-in page could each take all of them. So whatever may take long is done inside a limiter:

    searches = Limiter("searches", limit=16, per_caller=1)

    with searches.hold(user_id):
        ...

A limiter has a limit in all, a limit for one caller, and a longest wait for a place. Callers wait
in the order in which they came. When a wait fails, `LimitReachedError` is raised: 429 if the
caller's own share is taken, 503 if everything is.

**Busy or stuck.** A busy limiter serves: blocks end without an error, and their places go to those
that wait. Callers then wait up to the time-out. If no block has ended well for a second, waiting
does not help. The wait ends, and the limiter is *failing*: it gives the places that are free, and
refuses all other callers at once, so that not every thread waits. The next block that ends well
shows that waiting helps again. So does a limiter without any caller.

**A reserve.** All requests that send CSP reports wait for the same commit, so there a place is a
report that waits. The first places, the reserve, may wait for the whole time-out even if nothing is
served, and they are still given while the limiter is failing.

| limiter | a place is | in all | one caller | wait |
| --- | --- | --- | --- | --- |
| `http.body.readers` | a body that is being read | 1/4 of the threads | 1/4 of these | 1 s |
| `http.streaming.STREAMS` | a streamed answer | 1/8 of the threads | 2 | none |
| `db.backend.CONNECTIONS` | a pooled connection | the pool, 1/8 of the threads | | 5 s |
| `csp.writing.writer` | a report that waits | 10,000; reserve 1/8 of the threads | | 5 s |
| `memory.LOOK_UPS` | reading a value | the threads | 1 for one value | 1 s |
| `tokens.middleware` | reading an unknown token | the threads | 1 | 1 s |
| `admin.SEARCHES` | a search of the admin | 1/16 of the threads | 1 | 1 s |
| `users.passwords.HASHING` | hashing a password | 1; 1/4 of the threads may wait | | 2 s |

The address of a client, an IPv6 network of 64 bits, or a user counts as one caller.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NoReturn, Protocol

# If nothing is served for so long, waiting does not help.
STUCK_SECONDS = 1.0


class Waitable(Protocol):
    """A lock, which is released when what a thread waits for has happened."""

    def acquire(self, *, timeout: float) -> bool: ...


class LimitReachedError(Exception):
    """No place was free in time. `is_own` tells whether the caller's own share is taken."""

    def __init__(self, detail: str, *, is_own: bool) -> None:
        super().__init__(detail)
        self.detail = detail
        self.is_own = is_own


@dataclass(slots=True)
class _Share:
    """The places of all callers, or of one."""

    limit: float
    taken: int = 0
    served_at: float = float("-inf")
    is_failing: bool = False

    def has_room(self, amount: int) -> bool:
        return self.taken + amount <= self.limit

    def is_stuck(self, since: float) -> bool:
        """Returns whether nothing was served for a second, or since then if that is shorter ago."""
        return self.served_at < max(since, time.monotonic() - STUCK_SECONDS)


@dataclass(eq=False, slots=True)
class Place:
    """A place in a limiter, held since that time of the monotonic clock, in seconds."""

    caller: Hashable
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
        self.name = name
        self._timeout = timeout
        self._queue = queue
        self._reserve = reserve
        self._full = full or f"Too many {name}."
        self._own_full = own_full or self._full
        # Re-entrant, because the garbage collector may give a place back at any moment.
        self._lock = threading.RLock()
        self._all = _Share(limit)
        self._per_caller = per_caller
        self._shares: dict[Hashable, _Share] = {}
        # In the order in which they were given, and in which their callers came.
        self._places: dict[Place, None] = {}
        self._waiting: dict[Place, None] = {}

    @contextmanager
    def hold(
        self, caller: Hashable = None, *, amount: int = 1, timeout: float | None = None
    ) -> Iterator[Place]:
        """Holds a place in the block. Raises: LimitReachedError."""
        place = self.acquire(caller, amount=amount, timeout=timeout)
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
        place = Place(caller, amount, since=time.monotonic())
        with self._lock:
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
        """Waits for the lock while places are served, or in the reserve. Returns if it was got."""
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
            for share in self._shares_of(place):
                share.taken -= place.amount
                if served:
                    share.served_at = now
                elif now - place.since >= STUCK_SECONDS:
                    share.is_failing |= share.is_stuck(place.since)
                if served or not share.taken:
                    share.is_failing = False
            self._drop_unused_share(place.caller)
            for waiting in [one for one in self._waiting if self._has_room(one)]:
                # An earlier one may just have taken the last place.
                if self._has_room(waiting):
                    del self._waiting[waiting]
                    self._give(waiting)
                    waiting.given.release()

    def seconds_of_oldest(self) -> float:
        """Returns for how long the oldest place has been held; 0 if none is."""
        with self._lock:
            oldest = next(iter(self._places), None)
            return time.monotonic() - oldest.since if oldest else 0.0

    def _shares_of(self, place: Place) -> tuple[_Share, ...]:
        if place.caller is None:
            return (self._all,)
        own = self._shares.get(place.caller)
        if own is None:
            own = self._shares[place.caller] = _Share(self._per_caller)
        return self._all, own

    def _has_room(self, place: Place) -> bool:
        if self._all.is_failing and self._reserve:
            return self._all.taken < self._reserve
        return all(share.has_room(place.amount) for share in self._shares_of(place))

    def _refuses_at_once(self, place: Place) -> bool:
        if self._reserve or len(self._waiting) >= self._queue:
            return True
        return any(share.is_failing for share in self._full_shares(place))

    def _full_shares(self, place: Place) -> list[_Share]:
        return [share for share in self._shares_of(place) if not share.has_room(place.amount)]

    def _is_stuck(self, place: Place) -> bool:
        with self._lock:
            shares = self._full_shares(place) or [self._all]
            return any(share.is_stuck(place.since) for share in shares)

    def _give(self, place: Place) -> None:
        place.is_reserved = self._all.taken < self._reserve
        for share in self._shares_of(place):
            share.taken += place.amount
        place.since = time.monotonic()
        self._places[place] = None

    def _give_up(self, place: Place) -> None:
        with self._lock:
            if place not in self._waiting:
                return  # It was given after all.
            del self._waiting[place]
            for share in self._full_shares(place):
                share.is_failing |= share.is_stuck(place.since)
            self._refuse(place)

    def _refuse(self, place: Place) -> NoReturn:
        own = self._shares.get(place.caller)
        is_own = own is not None and not own.has_room(place.amount)
        self._drop_unused_share(place.caller)
        raise LimitReachedError(self._own_full if is_own else self._full, is_own=is_own)

    def _drop_unused_share(self, caller: Hashable) -> None:
        own = self._shares.get(caller)
        if own and not own.taken and all(one.caller != caller for one in self._waiting):
            del self._shares[caller]
