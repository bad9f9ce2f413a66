"""Migrates the database when a server starts. A lock ensures that only one process migrates."""

from __future__ import annotations

import logging
import pkgutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import psycopg
from django.apps import apps
from django.conf import settings
from django.core.management import CommandError, call_command
from django.db import OperationalError, connections

from coderapi.apps import check_tables, is_coders_database
from kernel.db.connections import connect_directly, databases, leave_pool, lock_number
from kernel.db.locks import is_locked, limit_lock_waits, retry_when_locked
from kernel.loops import Backoff

logger = logging.getLogger(__name__)

LOCK = "coderapi.migrate"
POLL_SECONDS = 0.25
# A migration waits this long for a table, because other statements wait behind it. Then it lets
# them pass, and tries again.
LOCK_SECONDS = 3.0
LOCK_TRIES = 10
LOCK_PAUSE_SECONDS = 5.0
# How long to wait for the database, because Docker Compose may start it at the same time.
DATABASE_SECONDS = 30.0


def bring_up_to_date() -> None:
    """Applies all pending migrations, and closes the connections.

    Raises: CommandError if the database cannot be used, if it belongs to Coder's server, or if its
    tables were created by a release that is not compatible.
    """
    with _connect() as connection, connection.cursor() as cursor:
        if is_migrated(cursor) and not is_coders_database(cursor):
            check_tables(cursor, apps)
            return
    wrapper = connections["default"]
    usual = wrapper.settings_dict
    direct = databases(settings.DIRECT_DATABASE_URL, pool_size=1, idle="0", workers=1)
    with migration_lock():
        # Migrations must keep one session, so they use the URL for direct connections.
        wrapper.settings_dict = usual | direct["default"]
        leave_pool()
        migrate()
    connections.close_all()
    wrapper.settings_dict = usual


def migrate() -> None:
    """Applies the migrations, and lets other transactions pass while a table is in use.

    Raises: CommandError if a table stays in use, for example by a dump.
    """

    def apply() -> None:
        with connections["default"].cursor() as cursor:
            cursor.execute(limit_lock_waits(LOCK_SECONDS))
        call_command("migrate", interactive=False, verbosity=0)

    def on_wait() -> None:
        logger.warning("A migration waits for a table that another transaction uses.")

    try:
        retry_when_locked(apply, tries=LOCK_TRIES, pause=LOCK_PAUSE_SECONDS, on_wait=on_wait)
    except OperationalError as error:
        if not is_locked(error):
            raise
        raise CommandError(
            "A migration could not lock a table, because another transaction uses it, for example "
            "a dump. Start again when this transaction has ended."
        ) from error


def is_migrated(cursor: Any) -> bool:
    """Returns whether every migration file of the installed apps is applied.

    Does not import the migrations, which takes longer than everything else at a start.
    """
    cursor.execute("SELECT to_regclass('django_migrations') IS NOT NULL")
    if not cursor.fetchone()[0]:
        return False
    cursor.execute("SELECT app, name FROM django_migrations")
    return _migration_files() <= set(cursor.fetchall())


@cache
def _migration_files() -> frozenset[tuple[str, str]]:
    return frozenset(
        (app.label, module.name)
        for app in apps.get_app_configs()
        for module in pkgutil.iter_modules([str(Path(app.path, "migrations"))])
        if module.name[0] not in "_~"
    )


@contextmanager
def migration_lock() -> Iterator[None]:
    """Prevents other processes from migrating during the block."""
    with _connect() as connection:
        # The lock is polled, because a session that waits in pg_advisory_lock has an open snapshot.
        # CREATE INDEX CONCURRENTLY in the process with the lock would wait for this snapshot
        # forever.
        waited = False
        while not _try_lock(connection):
            if not waited:
                logger.info("Another process migrates the database. Waiting until it has finished.")
            waited = True
            time.sleep(POLL_SECONDS)
        yield
        connection.execute("COMMIT")


def _try_lock(connection: psycopg.Connection[tuple[bool]]) -> bool:
    """Acquires the lock if it is free. Returns whether the lock was acquired.

    The lock belongs to a transaction, and is released when the transaction ends. A session lock
    would not be safe, because PgBouncer keeps the session after this connection is closed. An idle
    transaction has no snapshot, so CREATE INDEX CONCURRENTLY does not wait for the transaction.
    """
    connection.execute("BEGIN")
    connection.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
    # The statement contains the number, so that psycopg does not use the extended protocol. That
    # protocol would keep a snapshot open until the next statement.
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
                raise CommandError(f"The database cannot be used: {reason}") from error
            if not backoff.failures:
                logger.warning("The database does not respond yet: %s", reason)
        time.sleep(backoff.after(0))


def _is_temporary(error: str) -> bool:
    """Returns whether a retry can help. Errors such as a wrong password are not temporary."""
    return "FATAL" not in error or "starting up" in error or "shutting down" in error
