"""Limits how many callers use a resource at the same time: threads that wait, and streams.

A web process has a fixed number of threads that run Django. A frozen database, a hanging Coder or
many users who sign in at the same time could block all of them. So everything that may take long is
limited:

    searches = Limiter("searches", limit=16, per_caller=1)

    with searches.hold(user_id):
        ...

A limiter has slots. It has a limit for all callers together, a limit for each caller, and a
timeout. If no slot is free, callers wait in the order in which they arrived. If no slot becomes
free in time, `LimitReachedError` is raised. The client then gets a 429 if it has
reached its own limit, and a 503 if all slots are in use.

**Busy or stuck.** A slot is *served* when its block ends without an error. While slots are served,
callers wait up to the timeout. If no slot has been served for a second, the limiter is *stuck*, and
waiting does not help. So waits end after that second, and the limiter is *failing*: a caller still
gets a free slot. If no slot is free, the caller is rejected immediately, so that it does not block
a thread. A failing limiter recovers when a slot is served, or when all slots are free.

| limiter | a slot is | in all | one caller | timeout |
| --- | --- | --- | --- | --- |
| `http.views.STREAMS` | a streamed response | 64 | 2 | none |
| `db.backend.base` | a pooled connection | the pool, at most 1/2 of the threads | | 2.5 s |
| `memory.LOOKUPS` | reading a value | the threads | 1 for one value | 1 s |
| `tokens.signin.LOOKUPS` | looking up a user who signs in | 1 | | 2 s |
| `admin.SEARCHES` | a search in the admin | half of the pool; 2 may wait | 1 | 1 s |
| `users.passwords.HASHING` | hashing a password | 1 | | 2 s |

A caller is a user or a client (see `kernel.http.steps.hosts.client_of`).

docs/architecture.md describes which of these limits a slow client and a frozen database reach.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from dataclasses import KW_ONLY, dataclass, field
from typing import NoReturn
from weakref import WeakValueDictionary

# A limiter is stuck if no slot has been served for this long.
STUCK_SECONDS = 1.0


class LimitReachedError(Exception):
    """No slot became free in time. `is_per_caller`: the caller has reached its own limit."""

    def __init__(self, detail: str, *, is_per_caller: bool) -> None:
        super().__init__(detail)
        self.detail = detail
        self.is_per_caller = is_per_caller


@dataclass(eq=False, slots=True, weakref_slot=True)
class _Share:
    """The slots of all callers together, or of one caller."""

    limit: float
    taken: int = 0
    served_at: float = float("-inf")
    is_failing: bool = False

    def is_stuck(self, since: float, seconds: float) -> bool:
        """Returns whether this time has passed since `since` and since a slot was last served."""
        return max(self.served_at, since) <= time.monotonic() - seconds


@dataclass(eq=False, slots=True)
class Slot:
    """A slot of a limiter. Units: `since` in seconds of the monotonic clock."""

    # The counts for all callers together, and for the caller itself.
    shares: tuple[_Share, ...]
    since: float
    # This lock is held while the caller waits for its slot.
    given: threading.Lock = field(default_factory=threading.Lock)


@dataclass(eq=False)
class Limiter:
    """Limits the number of slots in use.

    `limit` is for all callers together, and `per_caller` for each caller. A caller waits at most
    `timeout` seconds for a slot, and at most `queue` callers wait. `full` and `own_full` are the
    error messages for rejected clients.
    """

    name: str
    _: KW_ONLY
    limit: float = float("inf")
    per_caller: float = float("inf")
    timeout: float = 0.0
    queue: float = float("inf")
    full: str = ""
    own_full: str = ""
    stuck_seconds: float = STUCK_SECONDS

    def __post_init__(self) -> None:
        self.full = self.full or f"Too many {self.name}."
        self.own_full = self.own_full or self.full
        # Reentrant, because the garbage collector may release a slot at any moment.
        self._lock = threading.RLock()
        self._all = _Share(self.limit)
        # An entry is deleted when no slot refers to it any more.
        self._shares: WeakValueDictionary[Hashable, _Share] = WeakValueDictionary()
        # In the order of arrival.
        self._waiting: dict[Slot, None] = {}

    @contextmanager
    def hold(self, caller: Hashable = None) -> Iterator[Slot]:
        """Holds a slot in the block. Raises: LimitReachedError."""
        slot = self.acquire(caller)
        served = False
        try:
            yield slot
            served = True
        finally:
            self.release(slot, served=served)

    def acquire(self, caller: Hashable = None, *, timeout: float | None = None) -> Slot:
        """Acquires a slot. The caller must release it. Raises: LimitReachedError."""
        timeout = self.timeout if timeout is None else timeout
        with self._lock:
            slot = Slot(self._shares_of(caller), since=time.monotonic())
            if self._has_room(slot):
                self._give(slot)
                return slot
            is_failing = any(share.is_failing for share in self._full_shares(slot))
            has_queue = len(self._waiting) < self.queue
            if timeout <= 0 or is_failing or not has_queue:
                self._refuse(slot)
            slot.given.acquire()
            self._waiting[slot] = None
        if not self._wait(slot, timeout):
            self._give_up(slot)
        return slot

    def _wait(self, slot: Slot, timeout: float) -> bool:
        """Returns whether the slot became free in time, and before the limiter is stuck."""
        until = time.monotonic() + timeout
        while (left := until - time.monotonic()) > 0:
            if slot.given.acquire(timeout=min(left, self.stuck_seconds)):
                return True
            if self._is_stuck(slot):
                return False
        return False

    def release(self, slot: Slot, *, served: bool = True) -> None:
        """Releases the slot. `served` is false if the caller's block has failed."""
        now = time.monotonic()
        with self._lock:
            for share in slot.shares:
                share.taken -= 1
                if served:
                    share.served_at = now
                else:
                    share.is_failing |= share.is_stuck(slot.since, self.stuck_seconds)
                if served or not share.taken:
                    share.is_failing = False
            for waiting in tuple(self._waiting):
                if self._has_room(waiting):
                    del self._waiting[waiting]
                    self._give(waiting)
                    waiting.given.release()

    @property
    def waiting(self) -> int:
        """The number of callers that are waiting for a slot."""
        return len(self._waiting)

    def _shares_of(self, caller: Hashable) -> tuple[_Share, ...]:
        if caller is None:
            return (self._all,)
        own = _Share(self.per_caller)
        return self._all, self._shares.setdefault(caller, own)

    def _has_room(self, slot: Slot) -> bool:
        return not self._full_shares(slot)

    def _full_shares(self, slot: Slot) -> list[_Share]:
        return [share for share in slot.shares if share.taken >= share.limit]

    def _is_stuck(self, slot: Slot) -> bool:
        with self._lock:
            shares = self._full_shares(slot) or [self._all]
            return any(share.is_stuck(slot.since, self.stuck_seconds) for share in shares)

    def _give(self, slot: Slot) -> None:
        for share in slot.shares:
            share.taken += 1
        slot.since = time.monotonic()

    def _give_up(self, slot: Slot) -> None:
        with self._lock:
            if slot not in self._waiting:
                return  # The caller has just got the slot after all.
            del self._waiting[slot]
            for share in self._full_shares(slot):
                share.is_failing |= share.is_stuck(slot.since, self.stuck_seconds)
            self._refuse(slot)

    def _refuse(self, slot: Slot) -> NoReturn:
        is_per_caller = any(share is not self._all for share in self._full_shares(slot))
        raise LimitReachedError(
            self.own_full if is_per_caller else self.full, is_per_caller=is_per_caller
        )
