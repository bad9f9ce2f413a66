"""Waits for locks of tables only briefly, because every later statement queues behind the wait.

A statement that changes a table, such as a migration, needs a lock that conflicts with reads or
writes. If another transaction has read the table and is still open (a dump may be open for hours),
the statement waits, and PostgreSQL lets no other statement use the table meanwhile. So such a
statement gives up after some seconds, lets the waiting statements run, and tries again.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import django.db
import psycopg

from kernel.db.connections import setting, sqlstate

LOCK_NOT_AVAILABLE = "55P03"
LOCK_SECONDS = 1.0
TRIES = 3
PAUSE_SECONDS = 1.0


def limit_lock_waits(*, locally: bool = False) -> str:
    """Returns the statement that limits each wait for a lock in this session or transaction."""
    return setting({"lock_timeout": f"{round(LOCK_SECONDS * 1000)}ms"}, locally=locally)


def is_locked(error: BaseException) -> bool:
    """Returns whether a statement gave up waiting for a lock."""
    return sqlstate(error) == LOCK_NOT_AVAILABLE


def retry_when_locked[T](
    body: Callable[[], T],
    *,
    tries: int = TRIES,
    pause: float = PAUSE_SECONDS,
    on_wait: Callable[[], None] = lambda: None,
) -> T:
    """Calls the body again, after a pause, if it gave up waiting for a lock.

    Raises: the error of the last try.
    """
    for _ in range(tries - 1):
        try:
            return body()
        except (django.db.Error, psycopg.Error) as error:
            if not is_locked(error):
                raise
        on_wait()
        time.sleep(pause)
    return body()
