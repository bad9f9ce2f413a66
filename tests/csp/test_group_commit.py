"""What waits to be written: together, in time, or not at all."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from csp.writing.writer import GroupCommit
from kernel.http.errors import APIError


class Slow:
    """A database that answers when it is told to."""

    def __init__(self) -> None:
        self.written: list[int] = []
        self.begun = threading.Event()
        self.may_end = threading.Event()

    def commit(self, items: list[int]) -> None:
        self.begun.set()
        self.may_end.wait(30)
        self.written += items


@pytest.fixture
def database() -> Iterator[Slow]:
    slow = Slow()
    yield slow
    slow.may_end.set()


def test_what_is_answered_503_for_want_of_time_is_not_written_later(database: Slow) -> None:
    commits = GroupCommit(database.commit, close=lambda: None)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(commits.submit, [1])
        database.begun.wait(30)
        with pytest.raises(APIError) as refused:
            commits.submit([2], seconds=0.01)
        database.may_end.set()
        first.result(30)
    commits.stop()
    assert refused.value.status == 503
    assert database.written == [1]


def test_what_is_being_written_is_waited_for_however_late(database: Slow) -> None:
    commits = GroupCommit(database.commit, close=lambda: None)
    with ThreadPoolExecutor(1) as pool:
        late = pool.submit(commits.submit, [1], seconds=0.5)
        database.begun.wait(30)
        with pytest.raises(TimeoutError):
            late.result(1)
        database.may_end.set()
        late.result(30)
    commits.stop()
    assert database.written == [1]
