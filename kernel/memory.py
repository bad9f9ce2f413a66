"""Remembers values until they are announced to be stale, too old, or evicted for newer ones.

Documents, verified keys and ingest keys are requested all the time and change seldom. A memory
keeps them in the process:

    keys = Memory("keys", capacity=10_000, max_age=60.0, topics=("key", "user"))

    identity = keys.get(token)
    identity = keys.load(token, lambda: Remembered(look_up(token), tags=(("key", key_id),)))

**Announcements.** The transaction that changes a row announces it by NOTIFY (`kernel.db.listener`)
as a topic and an argument. Each memory that listens to the topic evicts the values with that tag.
So a **revoked key** is refused by every process as soon as the notification arrives. The argument
"" evicts everything. A value that was read while an announcement arrived may be stale already, so
it is returned once and not remembered.

**When a value is used**

| this process | a value is used |
| --- | --- |
| receives announcements | while it is younger than its `max_age` |
| receives none, and the database answers | while also younger than `deaf_age`, usually never |
| receives none, and the database answers nothing | whatever its age, for half a minute |

The third row is for a **frozen database**: it cannot change, so no key can be revoked in it. A
value that is `lasting`, or whose memory has no topics, needs no announcements. For it the first row
always holds.

**One look-up.** When many requests miss the same value, one of them reads it and the others wait
for the result. Otherwise one busy key would take every connection of the pool after a restart.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from kernel.db import listener
from kernel.db.connections import DatabaseBusyError
from kernel.limiter import Limiter, LimitReachedError

LOOK_UPS = Limiter(
    "look-ups",
    per_caller=1,
    timeout=1.0,
    full="Another request is reading the same from the database.",
)

type Tag = tuple[str, str]

_all: list[Memory[Any, Any]] = []


@dataclass(slots=True)
class Remembered[V]:
    """A value. `max_age` is in seconds; a `lasting` one does not depend on announcements."""

    value: V
    tags: tuple[Tag, ...] = ()
    max_age: float = float("inf")
    lasting: bool = False
    read_at: float = field(default_factory=time.monotonic)


class Memory[K: Hashable, V]:
    """Up to `capacity` values by key. Units: `max_age` and `deaf_age` in seconds."""

    def __init__(
        self,
        name: str,
        *,
        capacity: int,
        topics: tuple[str, ...] = (),
        max_age: float = float("inf"),
        deaf_age: float = 0.0,
    ) -> None:
        self.name = name
        self.hits = self.misses = 0
        self._capacity = capacity
        self._needs_announcements = bool(topics)
        self._max_age = max_age
        self._deaf_age = deaf_age
        self._lock = threading.Lock()
        self._values: dict[K, Remembered[V]] = {}
        self._tagged: dict[Tag, set[K]] = {}
        # Changes with every eviction.
        self._generation = 0
        for topic in topics:
            listener.subscribe(topic, partial(self._hear, topic))
        _all.append(self)

    def get(self, key: K) -> V | None:
        """Returns the value, or None if it is not remembered or may not be used."""
        found = self._values.get(key)
        if found is None or not self._may_use(found):
            return None
        self.hits += 1
        return found.value

    def load(self, key: K, read: Callable[[], Remembered[V]]) -> V:
        """Returns the value from memory, or reads and remembers it.

        Raises: as `read` does; DatabaseBusyError if another thread has been reading it for a
        second.
        """
        if self._needs_announcements and not listener.is_fresh() and not self._deaf_age:
            # A value that is read now is used once, so other threads need not wait for it.
            return self._read(key, read)
        try:
            with LOOK_UPS.hold((self.name, key)):
                found = self._values.get(key)
                if found is not None and self._may_use(found):
                    return found.value
                return self._read(key, read)
        except LimitReachedError as error:
            raise DatabaseBusyError(error.detail) from None

    def evict(self, tag: Tag) -> None:
        """Forgets the values with that tag."""
        with self._lock:
            self._generation += 1
            for key in tuple(self._tagged.get(tag, ())):
                self._forget(key)

    def clear(self) -> None:
        with self._lock:
            self._generation += 1
            self._values.clear()
            self._tagged.clear()

    def age(self) -> float:
        """Returns the seconds since the newest value was read; 0 without one."""
        newest = max((found.read_at for found in tuple(self._values.values())), default=None)
        return time.monotonic() - newest if newest is not None else 0.0

    def _hear(self, topic: str, argument: str) -> None:
        if argument:
            self.evict((topic, argument))
        else:
            self.clear()

    def _may_use(self, found: Remembered[V]) -> bool:
        age = time.monotonic() - found.read_at
        if found.lasting or not self._needs_announcements or listener.is_connected():
            return age < found.max_age
        return listener.is_fresh() or age < min(found.max_age, self._deaf_age)

    def _read(self, key: K, read: Callable[[], Remembered[V]]) -> V:
        self.misses += 1
        generation = self._generation
        found = read()
        found.max_age = min(found.max_age, self._max_age)
        with self._lock:
            if generation == self._generation:
                self._remember(key, found)
        return found.value

    def _remember(self, key: K, found: Remembered[V]) -> None:
        self._forget(key)
        if len(self._values) >= self._capacity:
            self._forget(next(iter(self._values)))
        self._values[key] = found
        for tag in found.tags:
            self._tagged.setdefault(tag, set()).add(key)

    def _forget(self, key: K) -> None:
        found = self._values.pop(key, None)
        for tag in found.tags if found else ():
            self._tagged[tag].discard(key)
            if not self._tagged[tag]:
                del self._tagged[tag]


def clear_all() -> None:
    """Forgets everything that this process remembers."""
    for memory in _all:
        memory.clear()
