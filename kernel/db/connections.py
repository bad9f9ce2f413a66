"""Every connection to PostgreSQL: Django's pool, connections of one's own, locks, and errors."""

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

# How soon a server that vanished without a word is noticed: by a new connection, by one that waits
# for an answer, and by one whose data nobody confirms. A Unix socket ignores all but the first.
LIVENESS = {
    "connect_timeout": 2,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 2,
    "tcp_user_timeout": 5000,
}
# A request waits this long for a connection before it is answered 503.
POOL_TIMEOUT_SECONDS = 2
MIN_POOL_SIZE = 2
# What a statement of a request may take: with the wait for a connection less than six seconds. We
# count, not the server, which may be frozen; PgBouncer would refuse time-outs at connect.
STATEMENT_SECONDS = 3.5
CANCEL_SECONDS = 0.2
MIN_SECONDS = 0.05
# A transaction whose commit was lost is tried again for so long after its beginning. The last try
# may wait for a connection besides.
SETTLE_SECONDS = STATEMENT_SECONDS
SETTLE_PAUSE_SECONDS = 0.1

DEADLOCK = "40P01"
# No disk, no memory, a statement or a wait for a lock that took too long or would never have ended:
# it may go well the next time, and the connection is as good as any.
BUSY_STATES = frozenset({"53100", "53200", "57014", "55P03", DEADLOCK})
# Admin shutdown, crash shutdown, cannot connect now, read-only transaction (a demoted primary),
# too many connections: the server cannot serve us now, whatever the statement was.
UNAVAILABLE_STATES = BUSY_STATES | {"57P01", "57P02", "57P03", "25006", "53300"}

# A table, column or schema is not there, or not this role's.
UNPREPARED_STATES = {"42P01", "42703", "3F000", "42501"}

MAX_DEADLOCK_TRIES = 5
# COPY is psycopg's alone, and so are its errors.
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
    """Builds Django's DATABASES: one pool a process, with its share of `pool_size` connections.

    The share is `max_share` at most. Of these, its share of `idle` stays open when nobody uses it;
    `auto` is a third of all. `pooled` says that PgBouncer or its like stands between.
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
            # A cursor on the server would be another client's after the next transaction.
            "DISABLE_SERVER_SIDE_CURSORS": pooled,
            "OPTIONS": {
                **parameters,
                "pool": {
                    "min_size": min(share, kept // workers),
                    "max_size": share,
                    "connection_class": PooledConnection,
                    "timeout": POOL_TIMEOUT_SECONDS,
                    "max_idle": 60,
                    "reconnect_timeout": 5,
                },
            },
        }
    }


class PooledConnection(psycopg.Connection[Any]):
    """A connection of Django's pool, which bounds waits and tells a lost commit apart."""

    _commits: bool = False
    # Whether a statement took too long since the connection was taken from the pool.
    timed_out: bool = False

    def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
        if timeout is not None:
            return super().wait(gen, interval, timeout)
        with timeout_left(_statement_seconds) as seconds:
            try:
                found = super().wait(gen, interval, None if seconds == float("inf") else seconds)
            except psycopg.errors._WaitTimeout as error:
                found = self._cancelled(gen, interval, error)
        note_answer()
        return found

    def _cancelled(self, gen: Any, interval: float, error: psycopg.Error) -> Any:
        """Ends a statement that takes too long. Returns its result, if it has just ended.

        A server that only waits for a lock lets go of it; a frozen one hears nothing, and loses the
        connection. A commit is not cancelled: it would no longer wait for its standby.
        """
        self.timed_out = True
        try:
            if not self._commits:
                self._try_cancel(timeout=CANCEL_SECONDS)
                return super().wait(gen, interval, CANCEL_SECONDS)
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
    """Returns when the database last answered this process, by the clock that never jumps."""
    return _answered_at


def bound_statements(seconds: float = STATEMENT_SECONDS) -> None:
    """Bounds every statement on the pool's connections, for a process that serves requests."""
    global _statement_seconds
    _statement_seconds = seconds


@contextmanager
def deadline(seconds: float) -> Iterator[None]:
    """Bounds all that this thread waits for the database in the block, as for a look-up."""
    _deadline.left = seconds
    try:
        yield
    finally:
        del _deadline.left


@contextmanager
def timeout_left(usual: float) -> Iterator[float]:
    """Yields for how many seconds this thread may wait: as usual, or what `deadline` leaves."""
    left = getattr(_deadline, "left", None)
    if left is None:
        yield usual
        return
    begun = time.monotonic()
    try:
        yield min(usual, max(MIN_SECONDS, left))
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
    """Returns libpq's parameters: what the URL says goes before our own.

    Raises: ImproperlyConfigured, without repeating the URL: it may hold a password.
    """
    try:
        return {**LIVENESS, "application_name": application_name(), **conninfo_to_dict(url)}
    except psycopg.ProgrammingError:
        raise ImproperlyConfigured(
            "The database URL is not one that PostgreSQL understands; its form is "
            "postgresql://user:password@host:5432/database."
        ) from None


def connect_directly(**parameters: Any) -> psycopg.Connection[Any]:
    """Opens a connection to the direct URL, in autocommit, for LISTEN and advisory locks."""
    return _connect(settings.DIRECT_DATABASE_URL, parameters)


def connect_as_requests_do(**parameters: Any) -> psycopg.Connection[Any]:
    """Opens a connection by the way that requests take, through PgBouncer if they do."""
    return _connect(settings.DATABASE_URL, parameters)


def _connect(url: str, parameters: dict[str, Any]) -> psycopg.Connection[Any]:
    wanted = {**_parameters(url), "application_name": application_name(), **parameters}
    if url == settings.DATABASE_URL:
        # Under test the connection's database is another than the URL's.
        wanted["dbname"] = connection.settings_dict["NAME"]
    # PgBouncer in transaction mode knows nothing of statements prepared on another connection.
    return psycopg.connect(autocommit=True, prepare_threshold=None, **wanted)


def discard_pool() -> None:
    """Closes this process's pool, before others are started or the URL changes."""
    wrapper: Any = connection
    wrapper.close()
    if wrapper.vendor == "postgresql":
        wrapper.close_pool()


def leave_pool() -> None:
    """Gives this thread's Django connection a session of its own from now on."""
    wrapper: Any = django.db.connections["default"]
    wrapper.close()
    options = {**wrapper.settings_dict["OPTIONS"], "pool": False}
    wrapper.settings_dict = {**wrapper.settings_dict, "OPTIONS": options}


# --- What errors mean -------------------------------------------------------------------------


def sqlstate(error: BaseException) -> str | None:
    """Returns the SQLSTATE that PostgreSQL gave with the error, or None without one."""
    cause = error if isinstance(error, psycopg.Error) else error.__cause__
    return cause.sqlstate if isinstance(cause, psycopg.Error) else None


def is_unavailable(error: BaseException) -> bool:
    """Tells whether the error means that the database cannot be reached or used right now."""
    if isinstance(error, (django.db.InterfaceError, psycopg.InterfaceError)):
        return True
    state = sqlstate(error)
    if state is None:
        return isinstance(error, OPERATIONAL_ERRORS)
    return state in UNAVAILABLE_STATES or state.startswith("08")


def why_unusable(error: BaseException) -> str:
    """Says in a line why no command can use the database; "" if the error is of another kind."""
    said = str(error).strip().partition("\n")[0]
    if sqlstate(error) in UNPREPARED_STATES:
        return f"{said}. Was it migrated? `{PROGRAM} migrate` brings it up to date."
    if not is_unavailable(error):
        return ""
    if not isinstance(error.__cause__, PoolTimeout):
        return said
    try:
        # The pool says only that it waited.
        connect_as_requests_do().close()
    except psycopg.Error as cause:
        return str(cause).strip().partition("\n")[0]
    return said


class DatabaseBusyError(django.db.OperationalError):
    """Too many threads of this process wait for the database."""


class CommitUnknownError(psycopg.OperationalError):
    """A commit's answer was lost: it may have been done."""


def is_lost(error: BaseException) -> bool:
    """Tells whether a connection ended before the answer, so that its statement may have run.

    A server that shuts down ends connections even between their commit and its answer.
    """
    state = sqlstate(error)
    return is_unavailable(error) and (state is None or state[:2] == "08" or state[:3] == "57P")


def is_commit_unknown(error: BaseException) -> bool:
    """Tells whether the error is, or comes from, a commit whose answer was lost."""
    return isinstance(error, CommitUnknownError) or isinstance(error.__cause__, CommitUnknownError)


def is_deadlock(error: BaseException) -> bool:
    """Tells whether PostgreSQL undid the transaction to end a deadlock."""
    return sqlstate(error) == DEADLOCK


def unless_deadlocked[T](transaction: Callable[[], T]) -> T:
    """Returns what the whole transaction returns, after another try if it met a deadlock."""
    for _ in range(MAX_DEADLOCK_TRIES - 1):
        try:
            return transaction()
        except OPERATIONAL_ERRORS as error:
            if not is_deadlock(error):
                raise
    return transaction()


def commit_with_retry[T](body: Callable[[], T], *, earlier: Callable[[], T | None]) -> T:
    """Runs the body in a transaction. Settles a commit whose answer is lost, on new connections.

    There the body runs again, unless `earlier`, which runs before it, finds what was committed.
    Raises: as the body does, if nothing is there; CommitUnknownError if the database stays away.
    """
    settle_until = time.monotonic() + SETTLE_SECONDS
    lost = False
    while True:
        try:
            with transaction.atomic(durable=True):
                found = earlier() if lost else None
                return body() if found is None else found
        except (django.db.Error, psycopg.Error) as error:
            if not (lost or is_commit_unknown(error)) or not is_unavailable(error):
                raise
            lost = True
            connection.close()
            if time.monotonic() > settle_until:
                raise CommitUnknownError("a commit was lost") from error
        time.sleep(SETTLE_PAUSE_SECONDS)


def is_busy(error: BaseException) -> bool:
    """Returns whether no connection was free in time. The database itself may be well."""
    return isinstance(error, DatabaseBusyError) or isinstance(error.__cause__, PoolTimeout)


def has_answered_lately() -> bool:
    """Returns whether the database has answered this process within the wait for a connection."""
    return time.monotonic() - answered_at() < POOL_TIMEOUT_SECONDS


def discard_broken_pool(error: BaseException) -> None:
    """Replaces the pool's connections if the error says that they are of no use.

    A demoted primary keeps its connections open, and `target_session_attrs` is only looked at on
    connect, so they must go. A pool that is only busy keeps them.
    """
    wrapper: Any = connection
    if is_busy(error) or sqlstate(error) in BUSY_STATES:
        return
    wrapper.close()
    if wrapper.vendor == "postgresql" and wrapper.pool:
        wrapper.pool.drain()


# --- Locks and notifications ------------------------------------------------------------------


def lock_number(name: str) -> int:
    """Returns the advisory lock's key for a name: 64 signed bits, the same in every process."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big", signed=True)


@contextmanager
def transaction_lock(name: str, *, shared: bool = False) -> Iterator[None]:
    """Holds the named advisory lock until the surrounding transaction ends.

    Many may hold it `shared` at once, and then nobody alone.
    """
    function = "pg_advisory_xact_lock_shared" if shared else "pg_advisory_xact_lock"
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {function}(%s)", [lock_number(name)])
    yield


def notify(channel: str, payload: str) -> None:
    """Sends a notification, under 8,000 bytes, with the surrounding transaction."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_notify(%s, %s)", [channel, payload])
