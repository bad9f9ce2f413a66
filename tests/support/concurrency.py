"""Runs several actions at once, each in its own thread, and waits for other threads."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Self

from django.db import connection

from kernel.db import listener
from kernel.db.connections import connect_directly
from tests.support.processes import DEADLINE_SECONDS, HANG_SECONDS, wait_for


def at_once[T](actions: Sequence[Callable[[], T]]) -> list[T]:
    """Returns the results in the order of the actions. All actions begin together."""
    barrier = threading.Barrier(len(actions))

    def run(action: Callable[[], T]) -> T:
        barrier.wait()
        return closing(action)()

    with ThreadPoolExecutor(len(actions)) as threads:
        return list(threads.map(run, actions))


def await_announcements() -> None:
    """Waits until this process has received all announcements that were made before.

    A late one could evict what the test has cached.
    """
    topic, received = f"test {uuid.uuid4()}", threading.Event()

    def note(argument: str) -> None:
        # It is "" when the listener connects.
        if argument:
            received.set()

    listener.subscribe(topic, note)
    listener.announce(topic, "all")
    assert received.wait(DEADLINE_SECONDS)


def closing[T](action: Callable[[], T]) -> Callable[[], T]:
    """Wraps an action for a thread, so that it closes its connection."""

    def run_and_close() -> T:
        try:
            return action()
        finally:
            connection.close()

    return run_and_close


class Senders:
    """Threads that call `send` with their number until the block ends.

    `send` may return whether its request was acknowledged. Its error is raised at the end.
    """

    def __init__(self, number: int, send: Callable[[int], object]) -> None:
        self.sent = self.acknowledged = 0
        self.send, self.stopped, self.lock = send, threading.Event(), threading.Lock()
        self._number, self._threads = number, ThreadPoolExecutor(number)

    def __enter__(self) -> Self:
        self._running = [self._threads.submit(self._run, n) for n in range(self._number)]
        return self

    def __exit__(self, *raised: object) -> None:
        self.stopped.set()
        for each in self._running:
            each.result()
        self._threads.shutdown()

    def _run(self, number: int) -> None:
        while not self.stopped.is_set():
            is_acknowledged = self.send(number) is True
            with self.lock:
                self.sent += 1
                self.acknowledged += is_acknowledged

    def go_on(self, more: int) -> None:
        """Returns when `more` further requests are acknowledged."""
        goal = self.acknowledged + more
        wait_for(lambda: self.acknowledged >= goal, seconds=HANG_SECONDS)


def waiting_for_locks() -> int:
    """Returns the number of statements in the test database that wait for a lock."""
    with connection.cursor() as cursor:
        cursor.execute(WAITING)
        return int(cursor.fetchone()[0])


WAITING = """
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND wait_event_type = 'Lock'
"""


@contextmanager
def locked_keys() -> Iterator[Callable[[], int]]:
    """Locks the keys in the block. Yields a function that counts the statements that wait."""
    sql = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'tokens_apikey'::regclass"
    with connect_directly() as other, other.transaction():
        other.execute("LOCK TABLE tokens_apikey IN ACCESS EXCLUSIVE MODE")
        yield lambda: int(other.execute(sql).fetchall()[0][0])
