"""Connections to PostgreSQL: Django's pool, separate ones, what their errors mean, and locks."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import django.db
import psycopg
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import connection, transaction
from psycopg.conninfo import conninfo_to_dict
from psycopg_pool import PoolTimeout

from kernel.db.replicas import application_name
from kernel.release import PROGRAM

# When a server that has vanished is noticed: by a new connection, by one that waits for an answer,
# and by one whose data is not acknowledged. A Unix socket ignores all but the first.
LIVENESS = {
    "connect_timeout": 2,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 2,
    "tcp_user_timeout": 5000,
}
# A request gets a connection and its answer within six seconds. The time is measured here, because
# a frozen server cannot measure it, and PgBouncer rejects time-out settings at connect.
POOL_TIMEOUT_SECONDS = 2
STATEMENT_SECONDS = 3.5
# After that a statement has this long to be cancelled, and a transaction to be rolled back.
GRACE_SECONDS = 0.2
# Between two tries, so that a database that is away is not asked in a tight loop.
RETRY_PAUSE_SECONDS = 0.1
MIN_POOL_SIZE = 2

DEADLOCK = "40P01"
# No disk, no memory, a statement or a wait for a lock that took too long, a deadlock: another try
# may succeed, and the connection is still good.
BUSY_STATES = frozenset({"53100", "53200", "57014", "55P03", DEADLOCK})
# Admin shutdown, crash shutdown, cannot connect now, read-only transaction (a demoted primary),
# too many connections: the server cannot serve any statement now.
UNAVAILABLE_STATES = BUSY_STATES | {"57P01", "57P02", "57P03", "25006", "53300"}

# A table, column or schema is missing, or belongs to another role.
UNPREPARED_STATES = {"42P01", "42703", "3F000", "42501"}

MAX_DEADLOCK_TRIES = 5
# COPY goes past Django, and raises psycopg's errors.
OPERATIONAL_ERRORS = (django.db.OperationalError, psycopg.OperationalError)


# --- Where connections come from --------------------------------------------------------------


def databases(
    url: str,
    *,
    pool_size: int,
    idle: str,
    workers: int,
    max_share: int | None = None,
    pooled: bool = False,
) -> dict[str, dict[str, Any]]:
    """Builds Django's DATABASES: a pool for each process, which share `pool_size` connections.

    A process has at most `max_share`. The processes keep `idle` connections open while unused;
    `auto` is a third of `pool_size`. With `pooled`, PgBouncer or a similar pooler is in between.
    """
    if not url:
        return {"default": {"ENGINE": "django.db.backends.dummy"}}
    share = max(MIN_POOL_SIZE, min(pool_size // workers, max_share or pool_size))
    kept = pool_size // 3 if idle == "auto" else int(idle)
    parameters = _parameters(url)
    return {
        "default": {
            "ENGINE": "kernel.db.backend",
            **{key: parameters.pop(name, "") for key, name in _DJANGO_NAMES.items()},
            "CONN_MAX_AGE": 0,
            # After the next transaction a server-side cursor would belong to another client.
            "DISABLE_SERVER_SIDE_CURSORS": pooled,
            "OPTIONS": {
                **parameters,
                "pool": {
                    "min_size": min(share, kept // workers),
                    "max_size": share,
                    "connection_class": PooledConnection,
                    "timeout": POOL_TIMEOUT_SECONDS,
                    # The pauses between attempts to connect double. After 5 s they begin anew.
                    "reconnect_timeout": 5,
                    "max_idle": 60,
                },
            },
        }
    }


class PooledConnection(psycopg.Connection[Any]):
    """A connection of Django's pool, which bounds waits and reports a lost commit as such."""

    _commits: bool = False
    # A statement has taken too long since the connection was taken from the pool.
    timed_out: bool = False

    def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
        if timeout is not None:
            return super().wait(gen, interval, timeout)
        with timeout_left(_statement_seconds) as seconds:
            try:
                result = super().wait(gen, interval, None if seconds == float("inf") else seconds)
            except psycopg.errors._WaitTimeout as error:
                result = self._cancel(gen, interval, error)
        note_answer()
        return result

    def _cancel(self, gen: Any, interval: float, error: psycopg.Error) -> Any:
        """Cancels a statement that takes too long. Returns its result if it has just ended.

        A server that waits for a lock reports the cancellation. A frozen one does not answer, and
        the connection is closed. A commit is not cancelled: it would no longer wait for its
        standby.
        """
        self.timed_out = True
        try:
            if not self._commits:
                self._try_cancel(timeout=GRACE_SECONDS)
                return super().wait(gen, interval, GRACE_SECONDS)
        except psycopg.errors._WaitTimeout:
            pass
        self.pgconn.finish()
        raise psycopg.OperationalError("no answer in time") from error

    def commit(self) -> None:
        """Commits. Raises: CommitUnknownError if the connection ends before the answer."""
        self._commits = True
        try:
            super().commit()
        except psycopg.Error as error:
            if is_lost(error):
                raise CommitUnknownError(str(error)) from error
            raise
        finally:
            self._commits = False


_statement_seconds = float("inf")
_deadline = threading.local()
_answered_at = float("-inf")


def note_answer() -> None:
    """Notes that the database has just answered this process."""
    global _answered_at
    _answered_at = time.monotonic()


def answered_at() -> float:
    """Returns when the database last answered this process, by the monotonic clock."""
    return _answered_at


def bound_statements(seconds: float = STATEMENT_SECONDS) -> None:
    """Bounds every statement on the pool's connections. Processes that serve requests call it."""
    global _statement_seconds
    _statement_seconds = seconds


@contextmanager
def deadline(seconds: float) -> Iterator[None]:
    """Bounds how long this thread waits for the database in the whole block."""
    outer = getattr(_deadline, "left", None)
    _deadline.left = seconds if outer is None else min(seconds, outer)
    try:
        yield
    finally:
        _deadline.left = outer


@contextmanager
def timeout_left(usual: float) -> Iterator[float]:
    """Yields the seconds that this thread may wait: the usual ones, or those left by `deadline`."""
    left = getattr(_deadline, "left", None)
    if left is None:
        yield usual
        return
    begun = time.monotonic()
    try:
        yield min(usual, max(GRACE_SECONDS, left))
    finally:
        _deadline.left = left - (time.monotonic() - begun)


_DJANGO_NAMES = {
    "NAME": "dbname",
    "USER": "user",
    "PASSWORD": "password",
    "HOST": "host",
    "PORT": "port",
}


def _parameters(url: str) -> dict[str, Any]:
    """Returns libpq's parameters. Those of the URL override ours.

    Raises: ImproperlyConfigured, without the URL, which may hold a password.
    """
    try:
        return {**LIVENESS, "application_name": application_name(), **conninfo_to_dict(url)}
    except psycopg.ProgrammingError:
        raise ImproperlyConfigured(
            "The database URL is not valid. Its form is "
            "postgresql://user:password@host:5432/database."
        ) from None


def connect_directly(**parameters: Any) -> psycopg.Connection[Any]:
    """Opens a connection to the direct URL, in autocommit, for LISTEN and advisory locks."""
    return _connect(settings.DIRECT_DATABASE_URL, parameters)


def connect_as_requests_do(**parameters: Any) -> psycopg.Connection[Any]:
    """Opens a connection to the URL that requests use, which may lead through PgBouncer."""
    return _connect(settings.DATABASE_URL, parameters)


def _connect(url: str, parameters: dict[str, Any]) -> psycopg.Connection[Any]:
    parameters = {**_parameters(url), "application_name": application_name(), **parameters}
    if url == settings.DATABASE_URL:
        # Tests use another database than the URL's.
        parameters["dbname"] = connection.settings_dict["NAME"]
    # PgBouncer in transaction mode does not find statements prepared on another connection.
    return psycopg.connect(autocommit=True, prepare_threshold=None, **parameters)


def discard_pool() -> None:
    """Closes this process's pool before it starts other processes, or its URL changes."""
    wrapper: Any = connection
    wrapper.close()
    if wrapper.vendor == "postgresql":
        wrapper.close_pool()


def leave_pool() -> None:
    """Gives this thread a Django connection outside the pool from now on."""
    wrapper: Any = django.db.connections["default"]
    wrapper.close()
    options = {**wrapper.settings_dict["OPTIONS"], "pool": False}
    wrapper.settings_dict = {**wrapper.settings_dict, "OPTIONS": options}


def release_connection() -> None:
    """Returns this thread's connection to the pool before it waits for something else."""
    if not connection.in_atomic_block:
        connection.close()


# --- What errors mean -------------------------------------------------------------------------


def sqlstate(error: BaseException) -> str | None:
    """Returns the error's SQLSTATE, or None if PostgreSQL gave none."""
    cause = error if isinstance(error, psycopg.Error) else error.__cause__
    return cause.sqlstate if isinstance(cause, psycopg.Error) else None


def is_unavailable(error: BaseException) -> bool:
    """Returns whether the error means that the database cannot be reached or used right now."""
    if isinstance(error, (django.db.InterfaceError, psycopg.InterfaceError)):
        return True
    state = sqlstate(error)
    if state is None:
        return isinstance(error, OPERATIONAL_ERRORS)
    return state in UNAVAILABLE_STATES or state.startswith("08")


def why_unusable(error: BaseException) -> str:
    """Returns a line that says why no command can use the database; "" for another error."""
    reason = _first_line(error)
    if sqlstate(error) in UNPREPARED_STATES:
        return f"{reason}. Was it migrated? `{PROGRAM} migrate` brings it up to date."
    if not is_unavailable(error):
        return ""
    if isinstance(error.__cause__, PoolTimeout):
        # The pool reports only that it waited.
        try:
            connect_as_requests_do().close()
        except psycopg.Error as cause:
            return _first_line(cause)
    return reason


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0]


class DatabaseBusyError(django.db.OperationalError):
    """No connection became free in time, because other threads of this process use them all."""


class CommitUnknownError(psycopg.OperationalError):
    """The answer to a commit was lost, so the rows may be written or not."""


def is_lost(error: BaseException) -> bool:
    """Returns whether the connection ended before the answer, so that the statement may have run.

    A server that shuts down can end a connection between a commit and its answer.
    """
    state = sqlstate(error)
    return is_unavailable(error) and (state is None or state[:2] == "08" or state[:3] == "57P")


def is_commit_unknown(error: BaseException) -> bool:
    """Returns whether the error is a CommitUnknownError, or was caused by one."""
    return isinstance(error, CommitUnknownError) or isinstance(error.__cause__, CommitUnknownError)


def is_deadlock(error: BaseException) -> bool:
    """Returns whether PostgreSQL rolled the transaction back to end a deadlock."""
    return sqlstate(error) == DEADLOCK


def unless_deadlocked[T](transaction: Callable[[], T]) -> T:
    """Runs a whole transaction, again after a deadlock. Returns its result."""
    for _ in range(MAX_DEADLOCK_TRIES - 1):
        try:
            return transaction()
        except OPERATIONAL_ERRORS as error:
            if not is_deadlock(error):
                raise
    return transaction()


def commit_with_retry[T](body: Callable[[], T], *, earlier: Callable[[], T | None]) -> T:
    """Runs the body in a transaction, and again if the answer to the commit is lost.

    Before it runs again, `earlier` looks for what the first try committed, and returns that.
    Raises: as the body does, if nothing was written; CommitUnknownError if the database stays away.
    """
    retry_until = time.monotonic() + STATEMENT_SECONDS
    lost = False
    while True:
        try:
            with transaction.atomic(durable=True):
                committed = earlier() if lost else None
                return body() if committed is None else committed
        except (django.db.Error, psycopg.Error) as error:
            if not (lost or is_commit_unknown(error)) or not is_unavailable(error):
                raise
            lost = True
            connection.close()
            if time.monotonic() > retry_until:
                raise CommitUnknownError("a commit was lost") from error
        time.sleep(RETRY_PAUSE_SECONDS)


def is_busy(error: BaseException) -> bool:
    """Returns whether no connection became free in time. The database itself may answer."""
    return isinstance(error, DatabaseBusyError) or isinstance(error.__cause__, PoolTimeout)


def has_answered_lately() -> bool:
    """Returns whether the database has answered this process within the wait for a connection."""
    return time.monotonic() - answered_at() < POOL_TIMEOUT_SECONDS


def discard_broken_pool(error: BaseException) -> None:
    """Replaces the pool's connections unless the error only means that they are busy.

    A demoted primary keeps its connections open, and libpq checks `target_session_attrs` only when
    it connects.
    """
    wrapper: Any = connection
    if is_busy(error) or sqlstate(error) in BUSY_STATES:
        return
    wrapper.close()
    if wrapper.vendor == "postgresql" and wrapper.pool:
        wrapper.pool.drain()


# --- Locks and notifications ------------------------------------------------------------------


def lock_number(name: str) -> int:
    """Returns the key of the advisory lock with that name: a signed 64-bit number."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big", signed=True)


@contextmanager
def transaction_lock(name: str, *, shared: bool = False) -> Iterator[None]:
    """Holds the named advisory lock until the surrounding transaction ends.

    Several transactions may hold it `shared`. One that wants it alone waits for them.
    """
    function = "pg_advisory_xact_lock_shared" if shared else "pg_advisory_xact_lock"
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {function}(%s)", [lock_number(name)])
    yield


def notify(channel: str, payload: str) -> None:
    """Sends a notification of less than 8,000 bytes when the surrounding transaction commits."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_notify(%s, %s)", [channel, payload])
