"""Django's PostgreSQL backend with a limiter in front of its connection pool."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from functools import cache
from typing import Any

from django.conf import settings
from django.db.backends.postgresql import base
from psycopg import Cursor, IsolationLevel

from kernel.db.connections import (
    POOL_TIMEOUT_SECONDS,
    CommitUnknownError,
    DatabaseBusyError,
    seconds_left,
    unknown_if_lost,
)
from kernel.limiter import Limiter, LimitReachedError, Place

# A request that waits for a connection and then for a statement gets a response within six seconds:
# 2.5 + 3.5. If no statement ends within a second, the limiter ends the wait after this second.
BUSY_SECONDS = 2.5


@cache
def connections() -> Limiter:
    """Returns the limiter of the pool's connections. Threads wait here, not in the pool."""
    return Limiter(
        "connections",
        limit=settings.DATABASES["default"]["OPTIONS"]["pool"]["max_size"],
        timeout=BUSY_SECONDS,
        full="Too many requests are waiting for the database.",
    )


class DatabaseWrapper(base.DatabaseWrapper):
    """Holds a slot of the limiter while a thread uses a connection of the pool."""

    _place: Place | None = None

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        pool = self.pool
        if pool is None:
            return super().get_new_connection(conn_params)
        self.isolation_level = IsolationLevel.READ_COMMITTED
        if pool.closed:
            pool.open()
        self._release_place()
        try:
            self._place = connections().acquire(timeout=seconds_left(BUSY_SECONDS))
        except LimitReachedError as error:
            raise DatabaseBusyError(error.detail) from None
        try:
            connection = pool.getconn(timeout=seconds_left(POOL_TIMEOUT_SECONDS))
        except BaseException:
            self._release_place()
            raise
        connection.timed_out = False
        return connection

    def fetch(self, statement: str, values: Sequence[object], *, commits: bool = False) -> Any:
        """Runs a statement that PostgreSQL plans once for each connection. Returns its rows.

        Django's own cursors insert the values into the text of each statement. If this thread has
        no connection, the statement runs on a connection of the pool directly, because Django needs
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
                with unknown_if_lost() if commits else nullcontext():
                    rows = Cursor(lent).execute(statement, values).fetchall()
                if commits and lent.timed_out:
                    # The cancellation may have ended the wait for a synchronous standby.
                    raise CommitUnknownError("the statement was canceled")
                return rows
            finally:
                self.pool.putconn(lent)
                self._release_place(lent)

    def _close(self) -> None:
        connection = self.connection
        try:
            super()._close()  # type: ignore[misc]  # the stubs lack it
        finally:
            self._release_place(connection)

    def _release_place(self, connection: Any = None) -> None:
        """Releases the slot. Counts it as served if the connection works and has not timed out."""
        place, self._place = self._place, None
        if place:
            is_good = connection is not None and not connection.closed
            connections().release(place, served=is_good and not connection.timed_out)

    def set_autocommit(
        self, autocommit: bool, force_begin_transaction_with_broken_autocommit: bool = False
    ) -> None:
        """Does nothing if the connection has autocommit, as all connections of the pool do.

        After a transaction whose connection was lost, Django would open a new connection to enable
        autocommit. If that failed, its error would hide the original error, for example a lost
        commit.
        """
        connection: Any = self.connection
        if autocommit and (connection is None or connection.autocommit):
            self.autocommit = True
            return
        super().set_autocommit(autocommit, force_begin_transaction_with_broken_autocommit)
