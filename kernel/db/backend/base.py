from __future__ import annotations

from typing import Any

from django.db.backends.postgresql import base
from psycopg import IsolationLevel

from kernel.db.connections import POOL_TIMEOUT_SECONDS, timeout_left
from kernel.db.waiting import connection_places


class DatabaseWrapper(base.DatabaseWrapper):
    """Waits for a pooled connection no longer than its thread may, and in one of few places."""

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        if self.pool is None:
            return super().get_new_connection(conn_params)
        self.isolation_level = IsolationLevel.READ_COMMITTED
        self.pool.open()
        with (
            timeout_left(POOL_TIMEOUT_SECONDS) as usual,
            connection_places().taken(usual) as seconds,
        ):
            return self.pool.getconn(timeout=seconds)

    def set_autocommit(
        self, autocommit: bool, force_begin_transaction_with_broken_autocommit: bool = False
    ) -> None:
        """Leaves a broken connection alone at a transaction's end.

        Django would wait for another one, only to set what every new one has. If it waited in vain,
        that error would hide the first one, which may say that a commit was lost.
        """
        if autocommit and self.connection is None:
            self.autocommit = True
            return
        super().set_autocommit(autocommit, force_begin_transaction_with_broken_autocommit)
