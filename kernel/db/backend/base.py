from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db.backends.postgresql import base
from psycopg import IsolationLevel

from kernel.db.connections import POOL_TIMEOUT_SECONDS, DatabaseBusyError, timeout_left
from kernel.limiter import Limiter, LimitReachedError

CONNECTIONS = Limiter(
    "waits for a connection",
    timeout=POOL_TIMEOUT_SECONDS,
    reserve=settings.MAX_DATABASE_WAITERS,
    full="Too many requests are waiting for the database.",
)


class DatabaseWrapper(base.DatabaseWrapper):
    """Bounds how long, and in how many threads, a process waits for a pooled connection."""

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        if self.pool is None:
            return super().get_new_connection(conn_params)
        self.isolation_level = IsolationLevel.READ_COMMITTED
        self.pool.open()
        try:
            with (
                timeout_left(POOL_TIMEOUT_SECONDS) as timeout,
                CONNECTIONS.hold(timeout=timeout) as place,
            ):
                return self.pool.getconn(timeout=place.timeout)
        except LimitReachedError as error:
            raise DatabaseBusyError(error.detail) from None

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
