"""Migrates the database at the start, one process at a time."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from django.conf import settings
from django.core.management import call_command
from django.db import connections

from kernel.db.connections import (
    connect_directly,
    databases,
    discard_pool,
    lock_number,
)
from kernel.loops import Backoff

logger = logging.getLogger(__name__)

LOCK = "coderapi.migrate"
POLL_SECONDS = 0.25
# In a composition of containers the database may start at the same time.
DATABASE_SECONDS = 30.0


class MigrationError(Exception):
    """The database cannot be used. The message has the cause."""


def bring_up_to_date() -> None:
    """Applies the missing migrations. Leaves no connection open.

    Raises: MigrationError if the database cannot be reached, CommandError if it is Coder's own.
    """
    with migration_lock(), _direct_connection():
        call_command("migrate", interactive=False, verbosity=0)


@contextmanager
def _direct_connection() -> Iterator[None]:
    """Makes Django connect to the direct URL: migrations need a session of their own."""
    wrapper = connections["default"]
    discard_pool()
    pooled = wrapper.settings_dict
    if settings.DIRECT_DATABASE_URL != settings.DATABASE_URL:
        direct = databases(settings.DIRECT_DATABASE_URL, pool_size=1, idle="0", workers=1)
        wrapper.settings_dict = {**pooled, **direct["default"]}
    try:
        yield
    finally:
        connections.close_all()
        discard_pool()
        wrapper.settings_dict = pooled


@contextmanager
def migration_lock() -> Iterator[None]:
    """Keeps other processes from migrating during the block."""
    with _connect() as connection:
        # Polled: a session that waits in pg_advisory_lock has an open snapshot. CREATE INDEX
        # CONCURRENTLY in the process that holds the lock would wait for it for ever.
        waited = False
        while not _try_lock(connection):
            if not waited:
                logger.info("Another process migrates the database. Waiting for it.")
            waited = True
            time.sleep(POLL_SECONDS)
        yield
        connection.execute("COMMIT")


def _try_lock(connection: psycopg.Connection[tuple[bool]]) -> bool:
    """Acquires the lock if it is free. The transaction stays open, and its end releases the lock.

    Behind PgBouncer a session's lock would outlive this connection. An idle transaction holds no
    snapshot, so CREATE INDEX CONCURRENTLY does not wait for it.
    """
    connection.execute("BEGIN")
    connection.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
    # Without parameters: the extended protocol would keep the statement's portal, and with it a
    # snapshot, until the next statement.
    query = f"SELECT pg_try_advisory_xact_lock({lock_number(LOCK)})"
    row = connection.execute(query.encode()).fetchone()
    if row and row[0]:
        return True
    connection.execute("ROLLBACK")
    return False


def _connect() -> psycopg.Connection[tuple[bool]]:
    deadline = time.monotonic() + DATABASE_SECONDS
    backoff = Backoff(first=0.1, longest=2.0)
    while True:
        try:
            return connect_directly()
        except psycopg.OperationalError as error:
            reason = str(error).partition("\n")[0]
            if time.monotonic() > deadline or not _is_temporary(str(error)):
                raise MigrationError(f"The database cannot be used: {reason}") from error
            if not backoff.failures:
                logger.warning("The database does not answer yet: %s", reason)
        time.sleep(backoff.after(0))


def _is_temporary(error: str) -> bool:
    """Returns whether waiting can help, unlike with a wrong password or a missing database."""
    return "FATAL" not in error or "starting up" in error or "shutting down" in error
