"""Django's PostgreSQL backend, whose threads have a pooled connection only while they use it.

A thread has a connection of the pool for one statement, or for one transaction. The connection
returns to the pool when the last cursor is closed or the transaction ends. So code outside Django's
requests cannot keep one, and a thread that waits for something else has none. Each connection needs
a slot of a limiter, where threads wait for it.

A process that has left the pool (`kernel.db.connections.leave_pool`) keeps its connection.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from functools import cache
from typing import Any, Self
from weakref import WeakSet

from django.conf import settings
from django.db.backends.postgresql import base, operations, schema
from django.db.backends.utils import CursorWrapper
from psycopg import Cursor, IsolationLevel

from kernel.db.connections import (
    POOL_TIMEOUT_SECONDS,
    SET_SESSION,
    CommitUnknownError,
    DatabaseBusyError,
    seconds_left,
    unknown_if_lost,
)
from kernel.limiter import Limiter, LimitReachedError, Slot

# A request that waits for a connection and then for a statement gets a response within six seconds:
# 2.5 + 3.5. If no statement ends within a second, the limiter ends the wait after this second.
BUSY_SECONDS = 2.5
# The comment of each table that a migration of any release has created.
MARK = "Created by coderapi."
# The triggers against TRUNCATE read this setting. It lasts until the end of the transaction.
ALLOW_TRUNCATE = "SELECT set_config('coderapi.allows_truncate', 'on', true)"
_TABLES = """
SELECT oid::regclass::text FROM pg_class
WHERE relkind IN ('r', 'p') AND NOT relispartition AND relnamespace = current_schema()::regnamespace
"""


@cache
def connections() -> Limiter:
    """Returns the limiter of the pool's connections. Threads wait here, not in the pool."""
    return Limiter(
        "connections",
        limit=settings.DATABASES["default"]["OPTIONS"]["pool"]["max_size"],
        timeout=BUSY_SECONDS,
        full="Too many requests are waiting for the database.",
    )


class _Releasing:
    """A cursor that returns the connection to the pool when it is closed."""

    cursor: Any
    db: DatabaseWrapper

    def close(self) -> None:
        try:
            self.cursor.close()
        finally:
            self.db.cursor_closed(self)


class PooledCursor(_Releasing, CursorWrapper):
    """A cursor of Django that returns its connection to the pool."""


class PooledDebugCursor(_Releasing, base.CursorDebugWrapper):
    """The same, and logs its statements."""


class DatabaseSchemaEditor(schema.DatabaseSchemaEditor):
    """Adds the comment MARK to each new table, in the transaction that creates the table.

    So a restore recognizes the tables of each release, also those that this release does not know.
    """

    def __enter__(self) -> Self:
        self._before = self._tables()
        return super().__enter__()

    def __exit__(self, exc_type: Any, exc_value: Any, traceback: Any) -> None:
        if exc_type is None:
            for name in self._tables() - self._before:
                self.execute(f"COMMENT ON TABLE {name} IS '{MARK}'", None)
        super().__exit__(exc_type, exc_value, traceback)

    def _tables(self) -> set[str]:
        if self.collect_sql:
            return set()
        with self.connection.cursor() as cursor:
            cursor.execute(_TABLES)
            return {name for (name,) in cursor.fetchall()}


class DatabaseOperations(operations.DatabaseOperations):
    """Lets `flush` also empty append-only tables."""

    def sql_flush(self, *args: Any, **options: Any) -> list[str]:
        found = super().sql_flush(*args, **options)
        return [ALLOW_TRUNCATE, *found] if found else found


class DatabaseWrapper(base.DatabaseWrapper):
    """Holds a slot of the limiter while a thread uses a connection of the pool."""

    SchemaEditorClass = DatabaseSchemaEditor
    ops_class = DatabaseOperations
    _slot: Slot | None = None
    _is_connecting: bool = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # A cursor that is never closed leaves the set when it is garbage.
        self._cursors: WeakSet[_Releasing] = WeakSet()

    def connect(self) -> None:
        # Receivers of the signal `connection_created` use cursors.
        self._is_connecting = True
        try:
            super().connect()
        except BaseException:
            self.close()
            raise
        finally:
            self._is_connecting = False

    def _configure_connection(self, connection: Any) -> bool:
        """Sets the parameters of a new session. Returns whether a commit is necessary."""
        connection.execute(SET_SESSION)
        return bool(super()._configure_connection(connection))  # type: ignore[misc]

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        pool = self.pool
        if pool is None:
            return super().get_new_connection(conn_params)
        self.isolation_level = IsolationLevel.READ_COMMITTED
        if pool.closed:
            pool.open()
        self._release_slot()
        try:
            self._slot = connections().acquire(timeout=seconds_left(BUSY_SECONDS))
        except LimitReachedError as error:
            raise DatabaseBusyError(error.detail) from None
        try:
            connection = pool.getconn(timeout=seconds_left(POOL_TIMEOUT_SECONDS))
        except BaseException:
            self._release_slot()
            raise
        connection.timed_out = False
        return connection

    def fetch(self, statement: str, values: Sequence[object], *, commits: bool = False) -> Any:
        """Runs a statement that PostgreSQL plans once for each connection. Returns its rows.

        Django's own cursors insert the values into the text of each statement. Outside a
        transaction, the statement runs on a connection of the pool directly, because Django needs
        as much time to prepare a connection as PostgreSQL needs for a short statement. There, a
        statement that `commits` raises CommitUnknownError if its outcome is unknown.
        """
        if self.connection is not None or self.pool is None:
            self.ensure_connection()
            with self._prepare_cursor(Cursor(self.connection)) as cursor:  # type: ignore[attr-defined]
                return cursor.execute(statement, values).fetchall()
        with self.wrap_database_errors:
            lent = self.get_new_connection({})
            try:
                one: Any = Cursor(lent)
                if self.queries_logged:
                    one = super().make_debug_cursor(one)
                with unknown_if_lost() if commits else nullcontext():
                    one.execute(statement, values)
                    rows = one.fetchall()
                if commits and lent.timed_out:
                    # The cancellation may have ended the wait for a synchronous standby.
                    raise CommitUnknownError("the statement was canceled")
                return rows
            finally:
                self.pool.putconn(lent)
                self._release_slot(lent)

    def make_cursor(self, cursor: Any) -> PooledCursor:
        return self._counted(PooledCursor(cursor, self))

    def make_debug_cursor(self, cursor: Any) -> PooledDebugCursor:
        return self._counted(PooledDebugCursor(cursor, self))

    def _counted[C: _Releasing](self, cursor: C) -> C:
        self._cursors.add(cursor)
        return cursor

    def cursor_closed(self, cursor: _Releasing) -> None:
        self._cursors.discard(cursor)
        self._release_unless_used()

    def _release_unless_used(self) -> None:
        """Returns the connection to the pool unless a transaction or a cursor is open."""
        is_used = self._cursors or self._is_connecting or self.in_atomic_block
        if self.pool is not None and self.autocommit and not is_used:
            self.close()

    def get_autocommit(self) -> bool:
        """Returns whether autocommit is on. Without a connection it is, so none is opened."""
        return self.connection is None or self.autocommit

    def _close(self) -> None:
        connection = self.connection
        try:
            super()._close()  # type: ignore[misc]  # the stubs lack it
        finally:
            self._release_slot(connection)

    def _release_slot(self, connection: Any = None) -> None:
        """Releases the slot. Counts it as served if the connection works and has not timed out."""
        slot, self._slot = self._slot, None
        if slot:
            is_good = connection is not None and not connection.closed
            connections().release(slot, served=is_good and not connection.timed_out)

    def set_autocommit(
        self, autocommit: bool, force_begin_transaction_with_broken_autocommit: bool = False
    ) -> None:
        """Returns the connection to the pool at the end of a transaction.

        After a transaction whose connection was lost, Django would open a new connection to enable
        autocommit. If that failed, its error would hide the original error, for example a lost
        commit. So this does nothing if the connection has autocommit, as all connections of the
        pool do.
        """
        connection: Any = self.connection
        if autocommit and (connection is None or connection.autocommit):
            self.autocommit = True
            return
        try:
            super().set_autocommit(autocommit, force_begin_transaction_with_broken_autocommit)
        finally:
            self._release_unless_used()
