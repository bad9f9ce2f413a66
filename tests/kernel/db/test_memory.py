"""The memory of documents and keys: when a value is used, read again, or evicted."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import pytest

from kernel import memory as module
from kernel.db import listener
from kernel.db.connections import DatabaseBusyError
from kernel.memory import CachedValue, Memory
from tests.support.processes import DEADLINE_SECONDS, wait_for


class Source:
    """Counts how often it is read."""

    def __init__(self, **more: Any) -> None:
        self.reads, self.more = 0, more

    def read(self) -> CachedValue[int]:
        self.reads += 1
        return CachedValue(self.reads, **self.more)


def make(**options: Any) -> Memory[str, int]:
    return Memory("test", **{"capacity": 2, **options})


KNOWN_FOR_A_MOMENT = {"topics": ("test",), "max_age_disconnected": 60.0}


@pytest.mark.parametrize(
    ("options", "value", "read"),
    [
        ({}, {}, [1, 1, 1]),
        # An old value is read again.
        ({"max_age": 0.0}, {}, [1, 2, 3]),
        ({}, {"max_age": 0.0}, [1, 2, 3]),
        # Without announcements, a value on the database is not used, or for a moment.
        ({"topics": ("test",)}, {}, [1, 2, 3]),
        (KNOWN_FOR_A_MOMENT, {}, [1, 1, 1]),
        ({"topics": ("test",)}, {"lasting": True}, [1, 1, 1]),
        (KNOWN_FOR_A_MOMENT, {"max_age": 0.0}, [1, 2, 3]),
    ],
)
def test_value_is_read_again_when_it_may_have_changed(
    options: Any, value: Any, read: list[int]
) -> None:
    memory, source = make(**options), Source(**value)
    assert memory.get("a") is None
    assert [memory.load("a", source.read) for _ in read] == read
    assert memory.get("a") == (1 if read[-1] == 1 else None)


def test_capacity_evicts_the_oldest() -> None:
    memory, source = make(), Source(tags=(("topic", "x"),))
    for key in "abc":
        memory.load(key, source.read)
    assert [memory.get(key) for key in "abc"] == [None, 2, 3]
    memory.evict(("topic", "x"))
    assert [memory.get(key) for key in "bc"] == [None, None]


@pytest.mark.django_db(transaction=True)
def test_memory_may_be_made_while_the_listener_starts() -> None:
    """The first request imports the views, and with them their documents."""
    listener.subscribe("first", lambda _: listener.subscribe(f"more {uuid4()}", print))
    listener.start()
    try:
        wait_for(listener.is_connected)
    finally:
        listener.stop()
        del listener._subscribers["first"]


@pytest.mark.usefixtures("connected")
@pytest.mark.parametrize(("argument", "left"), [("x", {"b"}), ("y", {"a", "b"}), ("", set())])
def test_announcement_evicts_the_values_with_its_tag(argument: str, left: set[str]) -> None:
    memory = make(topics=("test", "done"), capacity=9)
    memory.load("a", Source(tags=(("test", "x"),)).read)
    memory.load("b", Source(tags=(("test", "z"),)).read)
    memory.load("c", Source(tags=(("done", "1"),)).read)
    listener.announce("test", argument)
    listener.announce("done", "1")
    wait_for(lambda: memory.get("c") is None)
    assert {key for key in "ab" if memory.get(key)} == left


def test_error_and_a_value_that_was_evicted_while_it_was_read_are_not_remembered() -> None:
    memory = make()

    def read() -> CachedValue[int]:
        memory.evict(("any", "thing"))
        return CachedValue(7)

    def fail() -> CachedValue[int]:
        raise ZeroDivisionError

    assert (memory.load("a", read), memory.get("a")) == (7, None)
    with pytest.raises(ZeroDivisionError):
        memory.load("a", fail)
    assert memory.load("a", Source().read) == 1


def test_of_many_that_miss_one_reads_and_the_others_wait() -> None:
    memory, source, go = make(), Source(), threading.Event()

    def read() -> CachedValue[int]:
        go.wait(DEADLINE_SECONDS)
        return source.read()

    with ThreadPoolExecutor(4) as pool:
        results = [pool.submit(memory.load, "a", read) for _ in range(4)]
        wait_for(lambda: module.LOOKUPS.waiting == 3)
        go.set()
        assert {result.result() for result in results} == {1}
    assert source.reads == 1


def test_other_value_does_not_wait_and_a_long_wait_is_an_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    memory, reads, go = make(), threading.Event(), threading.Event()
    monkeypatch.setattr(module.LOOKUPS, "timeout", 0.01)

    def read() -> CachedValue[int]:
        reads.set()
        go.wait(DEADLINE_SECONDS)
        return CachedValue(1)

    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(memory.load, "a", read)
        assert reads.wait(DEADLINE_SECONDS)
        assert memory.load("b", Source().read) == 1
        with pytest.raises(DatabaseBusyError):
            memory.load("a", Source().read)
        go.set()
        assert slow.result() == 1
