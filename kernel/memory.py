"""Caches values in the process until they are stale, too old, or evicted for newer ones.

Clients request documents, verified keys and ingest keys very often, but these rarely change. A
`Memory` is a cache in the process:

    keys = Memory("keys", capacity=10_000, max_age=60.0, topics=("key", "user"))

    identity = keys.get(token)
    identity = keys.load(token, lambda: CachedValue(look_up(token), tags=(("key", key_id),)))

**Announcements.** The transaction that changes a row announces the change with NOTIFY
(`kernel.db.listener`). An announcement is a topic and an argument. Each cache with this topic
evicts the values that have the topic and the argument as a tag. So every process rejects a
**revoked key** as soon as the notification arrives. The argument "" evicts all values. If an
announcement arrives while a value is being read, the value may be stale already. Then it is
returned once, but not cached.

**When a cached value is used**

| this process | a cached value is used |
| --- | --- |
| receives announcements | while it is younger than its `max_age` |
| receives none, and the database responds | also younger than `max_age_disconnected` (usually 0) |
| receives none, and the database does not respond | at any age, for half a minute |

The third row is for a **frozen database**, which cannot change (docs/architecture.md).
`lasting` values, and the values of a cache without topics, do not need announcements. The first row
always applies to them.

**One query.** If many requests need the same value that is not cached, one of them reads the value
and the others wait for it. Otherwise a single busy key would use all connections of the pool after
a restart.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable, Mapping
from dataclasses import KW_ONLY, dataclass, field
from functools import partial
from typing import Any

from kernel.db import listener
from kernel.db.connections import DatabaseBusyError
from kernel.limiter import Limiter, LimitReachedError

LOOKUPS = Limiter(
    "lookups",
    per_caller=1,
    timeout=1.0,
    full="Another request is reading the same data from the database.",
)

type Tag = tuple[str, str]

_all: list[Memory[Any, Any]] = []


@dataclass(slots=True)
class CachedValue[V]:
    """A value to cache. `max_age` is in seconds.

    A `lasting` value does not depend on announcements.
    """

    value: V
    tags: tuple[Tag, ...] = ()
    max_age: float = float("inf")
    lasting: bool = False
    read_at: float = field(default_factory=time.monotonic)


@dataclass(eq=False)
class Memory[K: Hashable, V]:
    """A cache of up to `capacity` values by key, which are not None. Units: seconds.

    `max_age_disconnected` is the maximum age of a value while this process receives no
    announcements. `busy` makes the error if another thread has been reading the value for too long.
    """

    name: str
    _: KW_ONLY
    capacity: int
    topics: tuple[str, ...] = ()
    max_age: float = float("inf")
    max_age_disconnected: float = 0.0
    busy: Callable[[str], Exception] = DatabaseBusyError

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._values: dict[K, CachedValue[V]] = {}
        self._tagged: dict[Tag, set[K]] = {}
        # Increases with every eviction. A value is cached only if this number has not changed while
        # the value was read.
        self.generation = 0
        for topic in self.topics:
            listener.subscribe(topic, partial(self._on_announcement, topic))
        _all.append(self)

    def get(self, key: K) -> V | None:
        """Returns the cached value, or None if it is not cached or may not be used."""
        found = self._values.get(key)
        if found is None:
            return None
        age, max_age = time.monotonic() - found.read_at, found.max_age
        if self.topics and not found.lasting and not listener.is_connected():
            is_frozen = listener.is_fresh()
            max_age = float("inf") if is_frozen else min(max_age, self.max_age_disconnected)
        return found.value if age < max_age else None

    def latest(self, key: K, *, max_age: float = float("inf")) -> V | None:
        """Returns the value that was read last, also after its own `max_age`, or None."""
        found = self._values.get(key)
        is_usable = found is not None and time.monotonic() - found.read_at < max_age
        return found.value if found is not None and is_usable else None

    def load(self, key: K, read: Callable[[], CachedValue[V]]) -> V:
        """Returns the cached value, or calls `read` and caches the result.

        Raises: the errors of `read`; the error of `busy`, usually DatabaseBusyError, if another
        thread has been reading the same value for too long.
        """
        if (found := self.get(key)) is not None:
            return found
        if self.topics and not listener.is_fresh() and not self.max_age_disconnected:
            # No cached value may be used now. So each thread reads the value itself, and no thread
            # waits for another.
            return self._read(key, read)
        try:
            with LOOKUPS.hold((self.name, key)):
                if (found := self.get(key)) is not None:
                    return found
                return self._read(key, read)
        except LimitReachedError as error:
            raise self.busy(error.detail) from None

    def evict(self, tag: Tag) -> None:
        """Evicts the values with that tag."""
        with self._lock:
            self.generation += 1
            for key in tuple(self._tagged.get(tag, ())):
                self._forget(key)

    def clear(self) -> None:
        with self._lock:
            self.generation += 1
            self._values.clear()
            self._tagged.clear()

    def _on_announcement(self, topic: str, argument: str) -> None:
        if argument:
            self.evict((topic, argument))
        else:
            self.clear()

    def _read(self, key: K, read: Callable[[], CachedValue[V]]) -> V:
        generation = self.generation
        found = read()
        self.keep({key: found}, generation=generation)
        return found.value

    def keep(self, values: Mapping[K, CachedValue[V]], *, generation: int) -> None:
        """Caches values, unless something was evicted since `generation` was read.

        Read `self.generation` before you read the values.
        """
        with self._lock:
            if generation != self.generation:
                return
            for key, found in values.items():
                found.max_age = min(found.max_age, self.max_age)
                self._forget(key)
                if len(self._values) >= self.capacity:
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
    """Clears all caches of this process."""
    for memory in _all:
        memory.clear()
