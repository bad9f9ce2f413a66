"""Opens connections to PostgreSQL, classifies database errors, and takes advisory locks."""

from __future__ import annotations

import hashlib
import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import wraps
from typing import Any, cast

import django.db
import psycopg
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import connection, connections, transaction
from psycopg.conninfo import conninfo_to_dict
from psycopg_pool import PoolTimeout

from kernel.db.replicas import application_name
from kernel.db.sql import execute, fetch_rows
from kernel.release import PROGRAM

# These set how soon a connection fails if the server has vanished: while it connects, while it
# waits for a response (keepalives), and while it sends data (tcp_user_timeout). Only
# `connect_timeout` has an effect on Unix socket connections.
LIVENESS = {
    "connect_timeout": 2,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 2,
    "tcp_user_timeout": 5000,
}
# These set how soon the server ends a session and releases its locks if this host has vanished, or
# if a process is frozen in a transaction. Every session sets them after it has connected, because
# PgBouncer rejects them as connection parameters. Units: seconds, then milliseconds.
SESSION = {
    "tcp_keepalives_idle": 5,
    "tcp_keepalives_interval": 2,
    "tcp_keepalives_count": 2,
    "tcp_user_timeout": 5_000,
    "idle_in_transaction_session_timeout": 60_000,
}
# The client measures these times, because a frozen server cannot, and because PgBouncer rejects
# timeout settings in the connection parameters.
POOL_TIMEOUT_SECONDS = 2
STATEMENT_SECONDS = 3.5
# The extra time to cancel a statement that timed out, and to roll back after a `deadline`.
GRACE_SECONDS = 0.2
# The pause between two attempts, so that an unavailable database isn't retried in a tight loop.
RETRY_PAUSE_SECONDS = 0.1
MIN_POOL_SIZE = 2

# Serialization failure, deadlock.
CONFLICT_STATES = frozenset({"40001", "40P01"})
# In addition: disk full, out of memory, query canceled, lock not available. A retry may succeed on
# the same connection.
BUSY_STATES = CONFLICT_STATES | {"53100", "53200", "57014", "55P03"}
# In addition: admin shutdown, crash shutdown, cannot connect now, idle session timeout, idle
# transaction timeout, read-only transaction (a demoted primary), too many connections. The server
# cannot run any statement now, or not in this session.
UNAVAILABLE_STATES = BUSY_STATES | {
    *("57P01", "57P02", "57P03", "57P05", "25P03"),
    *("25006", "53300"),
}

# Undefined table, column or schema, and insufficient privilege.
UNPREPARED_STATES = {"42P01", "42703", "3F000", "42501"}

MAX_TRIES = 5
# COPY does not use Django's database wrapper, so it raises psycopg's own exceptions.
OPERATIONAL_ERRORS = (django.db.OperationalError, psycopg.OperationalError)
# psycopg raises this private exception if `Connection.wait` with a timeout takes too long.
WaitTimeout = psycopg.errors._WaitTimeout


# --- Where connections come from --------------------------------------------------------------


def setting(parameters: Mapping[str, object], *, locally: bool = False) -> str:
    """Returns the statement that sets parameters, for the session or only for the transaction."""
    scope = str(locally).lower()
    calls = (f"set_config('{name}', '{value}', {scope})" for name, value in parameters.items())
    return f"SELECT {', '.join(calls)}"


SET_SESSION = setting(SESSION)


def databases(
    url: str, *, pool_size: int, idle: str, workers: int, max_share: int = 0, pooled: bool = False
) -> dict[str, dict[str, Any]]:
    """Builds Django's DATABASES setting, with a connection pool for each of the `workers`.

    The pools share `pool_size` connections. Each pool has at least two, and at most `max_share`.
    `idle` unused connections stay open; `auto` is a third of the pool. `pooled` is for PgBouncer.
    """
    if not url:
        return {"default": {"ENGINE": "django.db.backends.dummy"}}
    share = max(MIN_POOL_SIZE, min(pool_size // workers, max_share or pool_size))
    kept = pool_size // 3 if idle == "auto" else int(idle)
    parameters = _parameters(url)
    return {
        "default": {
            "ENGINE": "kernel.db.backend",
            "NAME": parameters.pop("dbname", ""),
            "USER": parameters.pop("user", ""),
            "PASSWORD": parameters.pop("password", ""),
            "HOST": parameters.pop("host", ""),
            "PORT": parameters.pop("port", ""),
            "CONN_MAX_AGE": 0,
            # PgBouncer may run the next transaction on a connection without the cursor.
            "DISABLE_SERVER_SIDE_CURSORS": pooled,
            "OPTIONS": {
                **parameters,
                # This applies only to `fetch`. PgBouncer may run the next transaction on a
                # connection that does not have the prepared statement.
                "prepare_threshold": None if pooled else 0,
                "pool": {
                    "min_size": min(share, kept // workers),
                    "max_size": share,
                    "connection_class": PooledConnection,
                    # The pause between connection attempts grows for 5 s. Then it starts again.
                    "reconnect_timeout": 5,
                    "max_idle": 60,
                },
            },
        }
    }


class PooledConnection(psycopg.Connection[Any]):
    """A connection of Django's pool. Limits the time of a statement, and detects lost commits."""

    _commits: bool = False
    # True if a statement has timed out since the thread got the connection from the pool.
    timed_out: bool = False

    def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
        if timeout is not None:
            return super().wait(gen, interval, timeout)
        seconds = seconds_left(_statement_seconds)
        try:
            result = super().wait(gen, interval, None if seconds == float("inf") else seconds)
        except WaitTimeout as error:
            result = self._cancel(gen, interval, error)
        # The last message of a server that shuts down does not count as an answer.
        if not self.closed:
            note_answer()
        return result

    def _cancel(self, gen: Any, interval: float, error: psycopg.Error) -> Any:
        """Cancels a statement that timed out. Returns its result if it has just completed.

        A working server reports the cancellation as an error. A frozen server does not respond, so
        the connection is closed. A commit is not canceled, because PostgreSQL would then stop
        waiting for its synchronous standby.
        """
        self.timed_out = True
        with suppress(WaitTimeout):
            if not self._commits:
                self._try_cancel(timeout=GRACE_SECONDS)
                return super().wait(gen, interval, GRACE_SECONDS)
        self.pgconn.finish()
        raise psycopg.OperationalError("the server did not respond in time") from error

    def commit(self) -> None:
        """Commits. Raises: CommitUnknownError if the connection is lost before the response."""
        self._commits = True
        try:
            with unknown_if_lost():
                super().commit()
        finally:
            self._commits = False


class LimitedConnection(psycopg.Connection[Any]):
    """A connection that is closed if the server does not respond in time.

    A frozen server cannot end a statement, and its host still acknowledges packets. Without a
    limit, a thread would wait for it even after a standby has replaced it.
    """

    seconds = STATEMENT_SECONDS

    def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
        if timeout is not None:
            return super().wait(gen, interval, timeout)
        try:
            return super().wait(gen, interval, self.seconds)
        except WaitTimeout as error:
            self.pgconn.finish()
            raise psycopg.OperationalError("the server did not respond in time") from error


_statement_seconds = float("inf")
_answered_at = float("-inf")


def note_answer() -> None:
    """Records that the database has just responded to this process."""
    global _answered_at
    _answered_at = time.monotonic()


def answered_at() -> float:
    """Returns the monotonic time of the database's last response to this process."""
    return _answered_at


def bound_statements() -> None:
    """Limits the time of each statement on pooled connections.

    Only processes that serve requests call this function.
    """
    global _statement_seconds
    _statement_seconds = STATEMENT_SECONDS
    # The pool's lines have the reason why no connection can be opened.
    logging.getLogger("psycopg.pool").setLevel(logging.WARNING)


class _Deadline(threading.local):
    at = float("inf")


_deadline = _Deadline()


@contextmanager
def deadline(seconds: float) -> Iterator[None]:
    """Limits the time of this thread's database operations in the block, counted from now."""
    outer = _deadline.at
    _deadline.at = min(outer, time.monotonic() + seconds)
    try:
        yield
    finally:
        _deadline.at = outer


def seconds_left(usual: float) -> float:
    """Returns the number of seconds that this thread may wait for the next operation.

    It is `usual`, or less if an enclosing `deadline` leaves less time.
    """
    return min(usual, max(GRACE_SECONDS, _deadline.at - time.monotonic()))


def _parameters(url: str) -> dict[str, Any]:
    """Returns the connection parameters for libpq. The URL's parameters override the defaults.

    Raises: ImproperlyConfigured. Its message does not contain the URL, because the URL may contain
    a password.
    """
    try:
        defaults = {**LIVENESS, "application_name": application_name(), "client_encoding": "UTF8"}
        return defaults | conninfo_to_dict(url)
    except psycopg.ProgrammingError:
        raise ImproperlyConfigured(
            "The database URL is not valid. The expected format is "
            "postgresql://user:password@host:5432/database."
        ) from None


def connect_directly(
    kind: type[psycopg.Connection[Any]] = psycopg.Connection, **parameters: Any
) -> psycopg.Connection[Any]:
    """Opens an autocommit connection to the direct URL, for LISTEN and advisory locks."""
    return _connect(settings.DIRECT_DATABASE_URL, kind, parameters)


def connect_as_requests_do(
    kind: type[psycopg.Connection[Any]] = psycopg.Connection, **parameters: Any
) -> psycopg.Connection[Any]:
    """Opens an autocommit connection to the URL that requests use. It may go through PgBouncer."""
    return _connect(settings.DATABASE_URL, kind, parameters)


def _connect(
    url: str, kind: type[psycopg.Connection[Any]], parameters: dict[str, Any]
) -> psycopg.Connection[Any]:
    parameters = {**_parameters(url), "application_name": application_name(), **parameters}
    # Prepared statements are disabled, because in PgBouncer's transaction mode the next transaction
    # may run on a server connection that does not have them.
    opened = kind.connect(autocommit=True, prepare_threshold=None, **parameters)
    opened.execute(SET_SESSION)
    return opened


@contextmanager
def direct_connection() -> Iterator[Any]:
    """Makes this thread use one session with the direct URL. Yields Django's wrapper."""
    wrapper: Any = connections["default"]
    usual = wrapper.settings_dict
    direct = databases(settings.DIRECT_DATABASE_URL, pool_size=1, idle="0", workers=1)["default"]
    wrapper.close()
    wrapper.settings_dict = {**usual, **direct}
    leave_pool()
    try:
        yield wrapper
    finally:
        wrapper.close()
        wrapper.settings_dict = usual


def leave_pool() -> None:
    """Makes this thread use its own database connection from now on, outside the pool."""
    wrapper: Any = connections["default"]
    wrapper.close()
    options = {**wrapper.settings_dict["OPTIONS"], "pool": False}
    wrapper.settings_dict = {**wrapper.settings_dict, "OPTIONS": options}


def fetch(
    statement: str, values: Sequence[object], *, commits: bool = False
) -> list[tuple[Any, ...]]:
    """Runs a statement that PostgreSQL plans once for each connection. Returns its rows.

    Set `commits` if the statement writes. Without an open transaction, it also commits. Then it
    raises CommitUnknownError if the connection is lost before the response.
    """
    found = connection.fetch(statement, values, commits=commits)  # type: ignore[attr-defined]
    return cast("list[tuple[Any, ...]]", found)


# --- What errors mean -------------------------------------------------------------------------


def sqlstate(error: BaseException) -> str | None:
    """Returns the error's SQLSTATE code, or None if it lacks one."""
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
    """Returns one line with the reason why the database is unusable, or "" for other errors."""
    reason = first_line(error)
    if sqlstate(error) in UNPREPARED_STATES:
        return f"{reason}. Run `{PROGRAM} migrate` to create or update the tables."
    if not is_unavailable(error):
        return ""
    if isinstance(error.__cause__, PoolTimeout):
        # A PoolTimeout does not contain the cause, so connect again to get it.
        try:
            connect_as_requests_do().close()
        except psycopg.Error as cause:
            return first_line(cause)
    return reason


def first_line(error: BaseException) -> str:
    """Returns the first line of the error's message, or the error's type if it lacks a message."""
    return str(error).strip().partition("\n")[0] or type(error).__name__


class DatabaseBusyError(django.db.OperationalError):
    """No connection became free in time, because other threads of this process use all."""


class CommitUnknownError(psycopg.OperationalError):
    """The connection was lost before the response to COMMIT. The rows may or may not be written."""


def is_lost(error: BaseException) -> bool:
    """Returns whether the connection was lost before the response. The statement may have run.

    A server that shuts down can close a connection after a commit and before its response.
    """
    state = sqlstate(error)
    return is_unavailable(error) and (state is None or state[:2] == "08" or state[:3] == "57P")


@contextmanager
def unknown_if_lost() -> Iterator[None]:
    """Converts the error of a connection that is lost during a commit to a CommitUnknownError."""
    try:
        yield
    except psycopg.Error as error:
        if is_lost(error):
            raise CommitUnknownError(str(error)) from error
        raise


def is_commit_unknown(error: BaseException) -> bool:
    """Returns whether the error is a CommitUnknownError, or was caused by one."""
    return isinstance(error, CommitUnknownError) or isinstance(error.__cause__, CommitUnknownError)


def is_conflict(error: BaseException) -> bool:
    """Returns whether the transaction failed because of another one, and can be retried."""
    return sqlstate(error) in CONFLICT_STATES


def retry_on_conflict[**P, T](transaction: Callable[P, T]) -> Callable[P, T]:
    """Decorates a function that runs a transaction, so that it is retried after a conflict."""

    @wraps(transaction)
    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        for _ in range(MAX_TRIES - 1):
            try:
                return transaction(*args, **kwargs)
            except OPERATIONAL_ERRORS as error:
                if not is_conflict(error):
                    raise
        return transaction(*args, **kwargs)

    return run


def commit_with_retry[T](body: Callable[[], T], *, earlier: Callable[[], T | None]) -> T:
    """Runs the body, which commits a transaction. Retries it if the response to the commit is lost.

    Each retry first calls `earlier` in a transaction. If the lost commit has succeeded, `earlier`
    returns its result. Otherwise it returns None, and the body runs again.

    Raises: the body's errors if nothing was written; CommitUnknownError if the database stays
    unavailable.
    """
    retry_until = time.monotonic() + STATEMENT_SECONDS
    lost = False
    while True:
        try:
            committed = transaction.atomic(durable=True)(earlier)() if lost else None
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
    """Returns whether no connection became free in time. The database itself may be available."""
    return isinstance(error, DatabaseBusyError) or isinstance(error.__cause__, PoolTimeout)


def has_answered_lately() -> bool:
    """Returns whether the database has responded to this process in the last two seconds."""
    return time.monotonic() - answered_at() < POOL_TIMEOUT_SECONDS


def discard_broken_pool(error: BaseException) -> None:
    """Replaces all connections of the pool, unless the error shows that they still work.

    New connections find the new primary after a failover: a demoted server keeps its connections
    open, and libpq checks `target_session_attrs` only when it connects.

    An error of another thread may become an answer in the event loop, where Django forbids to close
    a connection. So this touches only the pool: it closes the connections that are free, and the
    others when they are returned.
    """
    wrapper: Any = connection
    if wrapper.pool and not (is_busy(error) or sqlstate(error) in BUSY_STATES):
        wrapper.pool.drain()


# --- Locks -----------------------------------------------------------------------------------


def lock_number(name: str) -> int:
    """Returns the key of the advisory lock with that name: a signed 64-bit number."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big", signed=True)


@contextmanager
def transaction_lock(name: str) -> Iterator[None]:
    """Holds the named advisory lock until the surrounding transaction ends."""
    execute("SELECT pg_advisory_xact_lock(%s)", [lock_number(name)])
    yield


def try_transaction_lock(name: str) -> bool:
    """Tries to take the named advisory lock until the surrounding transaction ends."""
    [(is_taken,)] = fetch_rows("SELECT pg_try_advisory_xact_lock(%s)", [lock_number(name)])
    return bool(is_taken)
