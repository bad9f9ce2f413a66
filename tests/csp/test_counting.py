"""Counts in memory that a thread writes every few seconds."""

from __future__ import annotations

import threading
from collections import Counter

from csp.counting.counts import Counts
from tests.support.processes import DEADLINE_SECONDS, wait_for


def add_one(waiting: dict[str, int]) -> None:
    waiting["a"] = waiting.get("a", 0) + 1


def test_thread_writes_all_counts_and_ends() -> None:
    written: Counter[str] = Counter()
    counts: Counts[str, int] = Counts("tested", written.update)
    for number in range(1, 4):
        counts.update(add_one)
        wait_for(lambda number=number: written["a"] == number)  # type: ignore[misc]
    wait_for(lambda: "tested" not in {thread.name for thread in threading.enumerate()})


def test_discarded_counts_are_not_written() -> None:
    begun, may_end, written = threading.Event(), threading.Event(), Counter[str]()

    def write(counted: dict[str, int]) -> None:
        begun.set()
        may_end.wait(DEADLINE_SECONDS)
        written.update(counted)

    counts: Counts[str, int] = Counts("tested", write)
    counts.update(add_one)
    assert begun.wait(DEADLINE_SECONDS)
    counts.update(add_one)
    # Long enough that `discard` takes its turn before the next write.
    counts.pause_seconds = 2.0
    discarding = threading.Thread(target=counts.discard)
    discarding.start()
    # It waits for the end of the write that has begun.
    assert discarding.is_alive()
    assert not written
    may_end.set()
    discarding.join(DEADLINE_SECONDS)
    wait_for(lambda: "tested" not in {thread.name for thread in threading.enumerate()})
    assert written["a"] == 1
