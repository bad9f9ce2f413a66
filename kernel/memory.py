"""Remembers values until they are announced to be stale, too old, or crowded out.

Documents, verified keys and ingest keys are asked for all the time and change seldom. A memory
keeps them in the process:

    keys = Memory("keys", capacity=10_000, max_age=60.0, topics=("key", "user"))

    identity = keys.get(token)
    identity = keys.load(token, lambda: Remembered(look_up(token), tags=(("key", key_id),)))

**Announcements.** The transaction that changes a row announces it by NOTIFY (`kernel.db.listener`)
as a topic and an argument. Each memory that listens to the topic evicts the values with that tag.
The argument "" evicts everything. A value that was read while an announcement arrived may be stale
already, so it is returned once and not remembered.

**Trust.** While this process does not receive announcements, a value is used only while it is
younger than `deaf_age`, which is usually 0: never. A `lasting` value needs no announcement, since
no change elsewhere makes it wrong. While the database is frozen nobody can change anything. Then
every value is used, whatever its age, for the half minute in which `listener.is_fresh()` holds.

**One look-up.** When many requests miss the same value, one of them reads it and the others wait
for the result. After a restart, one busy key would otherwise take every connection of the pool.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
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
    """Values by key, at most `capacity` of them. Units: `max_age` and `deaf_age` in seconds."""

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
        self._topics = {topic: self._evictor(topic) for topic in topics}
        self._max_age = max_age
        self._deaf_age = deaf_age
        self._lock = threading.Lock()
        self._values: dict[K, Remembered[V]] = {}
        self._tagged: dict[Tag, set[K]] = {}
        # Changes with every eviction.
        self._generation = 0
        for topic, evict in self._topics.items():
            listener.subscribe(topic, evict)
        _all.append(self)

    def get(self, key: K) -> V | None:
        """Returns the value, or None where none may be used."""
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
        if self._topics and not listener.is_fresh() and not self._deaf_age:
            # Nothing is remembered now, so nobody can wait for the result of another thread.
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

    def close(self) -> None:
        """Listens to no topic any more."""
        for topic, evict in self._topics.items():
            listener.unsubscribe(topic, evict)
        _all.remove(self)

    def age(self) -> float:
        """Returns the seconds since the newest value was read; 0 without one."""
        newest = max((found.read_at for found in tuple(self._values.values())), default=None)
        return time.monotonic() - newest if newest is not None else 0.0

    def _evictor(self, topic: str) -> Callable[[str], None]:
        return lambda argument: self.evict((topic, argument)) if argument else self.clear()

    def _may_use(self, found: Remembered[V]) -> bool:
        age = time.monotonic() - found.read_at
        if found.lasting or not self._topics or listener.is_connected():
            return age < found.max_age
        # Nothing grows old while the database is frozen.
        return age < self._deaf_age or listener.is_fresh()

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
