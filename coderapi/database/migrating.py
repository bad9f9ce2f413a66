"""Migrates the database, for `coderapi migrate` and each start of `coderapi server`.

A lock ensures that only one process migrates. The others wait until it has finished.
"""

from __future__ import annotations

import logging
import pkgutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from threading import Event
from typing import Any

import psycopg
from django.apps import apps
from django.core.management import CommandError, call_command
from django.db import DatabaseError

from coderapi.database.checks import check_database, check_tables
from kernel.db.connections import (
    connect_directly,
    direct_connection,
    lock_number,
    setting,
    sqlstate,
)
from kernel.db.failures import NO_CONNECTION, cause_of
from kernel.db.locks import is_locked, retry_when_locked
from kernel.db.schema_number import record_schema
from kernel.loops import Backoff

logger = logging.getLogger(__name__)

LOCK = "coderapi.migrate"
POLL_SECONDS = 0.25
# A try waits this long for a table. Requests wait behind it, so it ends before they get a 503: the
# lookup of a key takes at most 1.5 s, and a pool whose statements do not end for 1 s is failing.
LOCK_SECONDS = 0.7
TRIES = 30
PAUSE_SECONDS = 3.0
# How long to wait for the database, because Docker Compose may start it at the same time.
DATABASE_SECONDS = 30.0
INSUFFICIENT_PRIVILEGE = "42501"


def bring_up_to_date() -> None:
    """Applies all pending migrations, and closes the connections.

    Raises: CommandError if the database cannot be used, if it belongs to Coder's server, or if its
    tables were created by a release that is not compatible.
    """
    with connect_patiently() as connection, connection.cursor() as cursor:
        check_database(cursor)
        applied = applied_migrations(cursor)
        missing = known_migrations() - applied
        if not missing:
            check_tables(cursor, apps)
            record_schema(cursor)
            return
    if applied:
        logger.info("Migrating the database: %s", ", ".join(sorted(map(".".join, missing))))
    call_command("migrate", interactive=False, verbosity=0)


def migrate(
    apply: Callable[[], object],
    *,
    lock_seconds: float = LOCK_SECONDS,
    tries: int = TRIES,
    pause: float = PAUSE_SECONDS,
) -> None:
    """Runs `apply`, which applies migrations, on a direct connection and under the lock.

    Raises: CommandError if a table stays in use, for example by a dump, or if the role lacks a
    right.
    """
    # A statement that has its locks may take long, for example to create an index.
    limits = {"lock_timeout": f"{round(lock_seconds * 1000)}ms", "statement_timeout": 0}
    with migration_lock(), direct_connection() as wrapper:

        def attempt() -> None:
            with wrapper.cursor() as cursor:
                cursor.execute(setting(limits))
            apply()
            with wrapper.cursor() as cursor:
                if is_migrated(cursor):
                    record_schema(cursor)

        try:
            retry_when_locked(attempt, tries=tries, pause=pause, on_wait=_note_wait)
        except DatabaseError as error:
            raise _explained(error) from error


def _note_wait() -> None:
    logger.warning("A migration waits for a table that another transaction uses.")


def _explained(error: DatabaseError) -> Exception:
    if is_locked(error):
        return CommandError(
            "A migration could not lock a table, because another transaction uses it, for example "
            "a dump. Start again when this transaction has ended."
        )
    if sqlstate(error) == INSUFFICIENT_PRIVILEGE:
        reason = str(error).partition("\n")[0]
        return CommandError(
            f"The role of the database URL lacks a right: {reason}. The role must own the database "
            "and the tables of the service."
        )
    return error


def is_migrated(cursor: Any) -> bool:
    """Returns whether every migration of this release is applied."""
    return known_migrations() <= applied_migrations(cursor)


def applied_migrations(cursor: Any) -> set[tuple[str, str]]:
    """Returns the applied migrations as pairs of app and name."""
    cursor.execute("SELECT to_regclass('django_migrations') IS NOT NULL AS found")
    if not cursor.fetchone()[0]:
        return set()
    cursor.execute("SELECT app, name FROM django_migrations")
    return {(app, name) for app, name in cursor.fetchall()}


@cache
def known_migrations() -> frozenset[tuple[str, str]]:
    """Returns the migrations of this release as pairs of app and name.

    Does not import them, which takes longer than everything else at a start.
    """
    return frozenset(
        (app.label, module.name)
        for app in apps.get_app_configs()
        for module in pkgutil.iter_modules([str(Path(app.path, "migrations"))])
        if module.name[0] not in "_~"
    )


@contextmanager
def migration_lock() -> Iterator[None]:
    """Prevents other processes from migrating during the block."""
    with connect_patiently() as connection:
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


def connect_patiently(stop: Event | None = None) -> psycopg.Connection[tuple[bool]]:
    """Opens a direct connection. Waits while PostgreSQL starts or has no free connection.

    Raises: CommandError if it takes too long, if a retry cannot help, or if `stop` is set.
    """
    stop = stop or Event()
    deadline = time.monotonic() + DATABASE_SECONDS
    backoff = Backoff(first=0.1, longest=2.0)
    while True:
        try:
            return connect_directly()
        except psycopg.OperationalError as error:
            reason = str(error).partition("\n")[0]
            if time.monotonic() > deadline or not is_temporary(error):
                raise CommandError(f"The database cannot be used: {reason}") from error
            if not backoff.failures:
                logger.warning(
                    "Waiting for the database, at most %.0f s: %s", DATABASE_SECONDS, reason
                )
        if stop.wait(backoff.after(0)):
            raise CommandError("Stopped while waiting for the database.")


def is_temporary(error: psycopg.OperationalError) -> bool:
    """Returns whether a retry can help. Errors such as a wrong password are not temporary."""
    text = str(error)
    # libpq provides no code. "The database system is" starting, stopping or recovering.
    is_passing = "the database system is" in text or cause_of(error) == NO_CONNECTION
    return is_passing or "FATAL" not in text
