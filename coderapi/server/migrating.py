"""Brings the database up to date at a start, one process at a time."""

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
# A database that starts beside us, in a composition of containers, may need a while.
DATABASE_SECONDS = 30.0


class MigrationError(Exception):
    """The database cannot be used; the message says why and what to do."""


def bring_up_to_date() -> None:
    """Applies the missing migrations, and leaves no connection behind.

    Raises: MigrationError when the database cannot be reached; CommandError when it is Coder's own.
    """
    with migration_lock(), _direct_way():
        call_command("migrate", interactive=False, verbosity=0)


@contextmanager
def _direct_way() -> Iterator[None]:
    """Lets Django's connection take the direct URL: migrations need a session to themselves."""
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
    """Keeps every other process from migrating as long as the block lasts."""
    with _connect() as connection:
        # Polled: one that waits within pg_advisory_lock would keep a transaction open, and an
        # index that the lock's holder builds concurrently would wait for it for ever.
        waited = False
        while not _try_lock(connection):
            if not waited:
                logger.info("Another process migrates the database; waiting for it")
            waited = True
            time.sleep(POLL_SECONDS)
        yield
        connection.execute("COMMIT")


def _try_lock(connection: psycopg.Connection[tuple[bool]]) -> bool:
    """Takes the lock, if it is free, until the transaction that stays open ends.

    A session's lock would outlive it behind PgBouncer. An open transaction that does nothing has no
    snapshot, so no index that is built concurrently waits for it.
    """
    connection.execute("BEGIN")
    connection.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
    # Without a parameter: by the extended protocol the statement's portal, and with it a snapshot,
    # would be kept until the next one.
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
            if time.monotonic() > deadline or not _may_pass(str(error)):
                raise MigrationError(f"The database cannot be used: {reason}") from error
            if not backoff.failures:
                logger.warning("The database does not answer yet: %s", reason)
        time.sleep(backoff.after(0))


def _may_pass(error: str) -> bool:
    """Tells whether waiting can help: not against a wrong password or a missing database."""
    return "FATAL" not in error or "starting up" in error or "shutting down" in error
