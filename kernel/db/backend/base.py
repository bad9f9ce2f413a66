from __future__ import annotations

from functools import cache
from typing import Any

from django.conf import settings
from django.db.backends.postgresql import base
from psycopg import IsolationLevel

from kernel.db.connections import POOL_TIMEOUT_SECONDS, DatabaseBusyError, timeout_left
from kernel.limiter import Limiter, LimitReachedError, Place

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
    """Bounds how long, and in how many threads, a process waits for a pooled connection."""

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
                found = self.pool.getconn(timeout=timeout)
        except BaseException:
            self._release_place(served=False)
            raise
        found.timed_out = False
        return found

    def _close(self) -> None:
        used: Any = self.connection
        is_served = used is not None and not used.closed and not getattr(used, "timed_out", False)
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
        """Leaves a broken connection alone at the end of a transaction.

        Django would open another one, only to set what every new connection has. If that failed,
        its error would hide the first one, which may say that a commit was lost.
        """
        if autocommit and self.connection is None:
            self.autocommit = True
            return
        super().set_autocommit(autocommit, force_begin_transaction_with_broken_autocommit)
