"""The pool of threads whose callers take turns."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import partial

import pytest

from kernel.futures import Pool
from tests.support.processes import DEADLINE_SECONDS, wait_for


@pytest.fixture
def pool() -> Iterator[Pool]:
    found = Pool(1, name="tested")
    yield found
    found.stop()


@pytest.fixture
def free(pool: Pool) -> threading.Event:
    """Occupies the only thread until the event is set."""
    begun, free = threading.Event(), threading.Event()

    def occupy() -> None:
        begun.set()
        free.wait(DEADLINE_SECONDS)

    pool.submit("a", occupy)
    assert begun.wait(DEADLINE_SECONDS)
    return free


def test_callers_take_turns(pool: Pool, free: threading.Event) -> None:
    seen: list[str] = []
    names = ("a", "a", "a", "b", "c", "b")
    futures = [pool.submit(name, partial(seen.append, name)) for name in names]
    free.set()
    for future in futures:
        future.result(DEADLINE_SECONDS)
    assert seen == ["a", "b", "c", "a", "b", "a"]


def test_errors_are_raised_by_the_future(pool: Pool) -> None:
    def fail() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        pool.submit("a", fail).result(DEADLINE_SECONDS)
    assert pool.submit("a", lambda: 1).result(DEADLINE_SECONDS) == 1


def test_canceled_job_is_not_run(pool: Pool, free: threading.Event) -> None:
    seen: list[int] = []
    assert pool.submit("a", lambda: seen.append(1)).cancel()
    last = pool.submit("a", lambda: seen.append(2))
    free.set()
    last.result(DEADLINE_SECONDS)
    assert seen == [2]


def test_stopped_pool_runs_what_waits_and_takes_nothing_more(
    pool: Pool, free: threading.Event
) -> None:
    waiting = pool.submit("a", lambda: 1)
    pool.stop()
    free.set()
    assert waiting.result(DEADLINE_SECONDS) == 1
    with pytest.raises(RuntimeError):
        pool.submit("a", lambda: 1)
    wait_for(lambda: not any(t.name.startswith("tested") for t in threading.enumerate()))
