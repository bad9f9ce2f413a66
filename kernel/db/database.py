"""PostgreSQL beyond the ORM: what counts as unavailable, direct connections, locks."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import django.db
import psycopg
from django.conf import settings
from django.db import connection
from psycopg_pool import PoolTimeout

from kernel.db.replicas import application_name

DEADLOCK = "40P01"
# No disk, no memory, a statement or a wait for a lock that took too long or would never have ended:
# it may go well the next time, and the connection is as good as any.
BUSY_STATES = frozenset({"53100", "53200", "57014", "55P03", DEADLOCK})
# Admin shutdown, crash shutdown, cannot connect now, read-only transaction (a demoted primary),
# too many connections: the server cannot serve us now, whatever the statement was.
UNAVAILABLE_STATES = BUSY_STATES | {"57P01", "57P02", "57P03", "25006", "53300"}

DEADLOCKED_TRIES = 5
# COPY is psycopg's alone, and so are its errors.
OPERATIONAL_ERRORS = (django.db.OperationalError, psycopg.OperationalError)


def is_unavailable(error: BaseException) -> bool:
    """Whether the error means that the database cannot be reached or used right now."""
    if isinstance(error, django.db.InterfaceError):
        return True
    state = sqlstate(error)
    if state is None:
        return isinstance(error, OPERATIONAL_ERRORS)
    return state in UNAVAILABLE_STATES or state.startswith("08")


def sqlstate(error: BaseException) -> str | None:
    """The SQLSTATE that PostgreSQL gave with the error, or None where none was given."""
    cause = error if isinstance(error, psycopg.Error) else error.__cause__
    return cause.sqlstate if isinstance(cause, psycopg.Error) else None


def is_deadlock(error: BaseException) -> bool:
    """Whether the transaction was undone because it and another waited for each other."""
    return sqlstate(error) == DEADLOCK


def unless_deadlocked[T](transaction: Callable[[], T]) -> T:
    """What the whole transaction returns; it is tried again where it gave way to another."""
    for _ in range(DEADLOCKED_TRIES - 1):
        try:
            return transaction()
        except OPERATIONAL_ERRORS as error:
            if not is_deadlock(error):
                raise
    return transaction()


_discarding = threading.Lock()


def discard_pool() -> None:
    """Close this process's pooled connections; the next use makes new ones."""
    wrapper: Any = connection
    wrapper.close()
    if wrapper.vendor == "postgresql":
        # Django forgets its pool without a lock: of two threads at it, one would find none.
        with _discarding:
            wrapper.close_pool()


def discard_broken_pool(error: BaseException) -> None:
    """Discards the pool where the error says that its connections are of no use.

    A demoted primary keeps its connections open, and `target_session_attrs` is only looked at on
    connect, so they must go. A pool that is only busy stays.
    """
    if not isinstance(error.__cause__, PoolTimeout) and sqlstate(error) not in BUSY_STATES:
        discard_pool()


def connect_directly(**parameters: Any) -> psycopg.Connection[Any]:
    """A connection of its own to the direct URL, in autocommit, for LISTEN and advisory locks."""
    return _connect(settings.DIRECT_DATABASE_URL, parameters)


def connect_as_requests_do(**parameters: Any) -> psycopg.Connection[Any]:
    """A connection of its own by the way that requests take, through PgBouncer if they do."""
    return _connect(settings.DATABASE_URL, parameters)


def _connect(url: str, parameters: dict[str, Any]) -> psycopg.Connection[Any]:
    if url == settings.DATABASE_URL:
        # Under test the connection's database is another than the URL's.
        parameters.setdefault("dbname", connection.settings_dict["NAME"])
    parameters.setdefault("application_name", application_name())
    # PgBouncer in transaction mode knows nothing of statements prepared on another connection.
    return psycopg.connect(
        url, autocommit=True, connect_timeout=2, prepare_threshold=None, **parameters
    )


def lock_number(name: str) -> int:
    """The advisory lock's key for a name: 64 signed bits, the same in every process."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big", signed=True)


@contextmanager
def transaction_lock(name: str) -> Iterator[None]:
    """Holds the named advisory lock until the surrounding transaction ends."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [lock_number(name)])
    yield


def notify(channel: str, payload: str) -> None:
    """Sends a notification, under 8,000 bytes, with the surrounding transaction."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_notify(%s, %s)", [channel, payload])
