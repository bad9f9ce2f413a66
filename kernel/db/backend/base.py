"""Django's backend for PostgreSQL, with a limiter in front of its pool."""

from __future__ import annotations

from functools import cache
from typing import Any

from django.conf import settings
from django.db.backends.postgresql import base
from psycopg import IsolationLevel

from kernel.db.connections import POOL_TIMEOUT_SECONDS, DatabaseBusyError, timeout_left
from kernel.limiter import Limiter, LimitReachedError, Place

# As long as a request may take. While no statement ends, the limiter ends the wait after a second.
BUSY_SECONDS = 5.0


@cache
def connections() -> Limiter:
    """Returns the limiter of the pool's connections. Callers wait in it, not in the pool."""
    return Limiter(
        "connections",
        limit=settings.DATABASES["default"]["OPTIONS"]["pool"]["max_size"],
        timeout=BUSY_SECONDS,
        full="Too many requests are waiting for the database.",
    )


class DatabaseWrapper(base.DatabaseWrapper):
    """Takes a place in the limiter for each connection of the pool, until it is returned."""

    _place: Place | None = None

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        if self.pool is None:
            return super().get_new_connection(conn_params)
        self.isolation_level = IsolationLevel.READ_COMMITTED
        self.pool.open()
        self._release_place(served=False)
        try:
            with timeout_left(BUSY_SECONDS) as timeout:
                self._place = connections().acquire(timeout=timeout)
        except LimitReachedError as error:
            raise DatabaseBusyError(error.detail) from None
        try:
            with timeout_left(POOL_TIMEOUT_SECONDS) as timeout:
                connection = self.pool.getconn(timeout=timeout)
        except BaseException:
            self._release_place(served=False)
            raise
        connection.timed_out = False
        return connection

    def _close(self) -> None:
        connection: Any = self.connection
        is_good = connection is not None and not connection.closed
        is_served = is_good and not getattr(connection, "timed_out", False)
        try:
            super()._close()  # type: ignore[misc]  # its stubs leave it out
        finally:
            self._release_place(served=is_served)

    def _release_place(self, *, served: bool) -> None:
        place, self._place = self._place, None
        if place:
            connections().release(place, served=served)

    def set_autocommit(
        self, autocommit: bool, force_begin_transaction_with_broken_autocommit: bool = False
    ) -> None:
        """Opens no connection at the end of a transaction whose connection is broken.

        Django would open one only to switch on autocommit, which every new connection has. If that
        failed, its error would hide the first one, which may be a lost commit.
        """
        if autocommit and self.connection is None:
            self.autocommit = True
            return
        super().set_autocommit(autocommit, force_begin_transaction_with_broken_autocommit)
