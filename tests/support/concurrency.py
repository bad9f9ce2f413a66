"""Runs several actions at once, each in its own thread, and waits for other threads."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from django.db import connection

from kernel.db import listener
from tests.support.processes import DEADLINE_SECONDS


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


def waiting_for_locks() -> int:
    """Returns the number of statements in the test database that wait for a lock."""
    with connection.cursor() as cursor:
        cursor.execute(WAITING)
        return int(cursor.fetchone()[0])


WAITING = """
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND wait_event_type = 'Lock'
"""
