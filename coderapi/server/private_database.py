"""Keeps the private PostgreSQL alive under a server: one that died is started again."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from coderapi.bootstrap import private_database
from kernel.postgres import Handle, PostgresError

logger = logging.getLogger(__name__)

WATCH_SECONDS = 1.0


@contextmanager
def private_database_watched() -> Iterator[None]:
    """Within it, a private PostgreSQL that dies comes back; one that somebody stopped stays so."""
    handle = private_database()
    ended = threading.Event()
    if handle is not None:
        threading.Thread(
            target=_watch, args=(handle, ended), name="postgres-watch", daemon=True
        ).start()
    try:
        yield
    finally:
        ended.set()


def _watch(handle: Handle, ended: threading.Event) -> None:
    before = "running"
    while not ended.wait(WATCH_SECONDS):
        health = _health(handle)
        if health == "revived":
            logger.error("The private PostgreSQL had died, and runs again")
        elif health != before:
            logger.warning("The private PostgreSQL: %s", health)
        before = "running" if health == "revived" else health


def _health(handle: Handle) -> str:
    """Its health, or why it does not come up."""
    try:
        return handle.revive()
    except PostgresError as error:
        return str(error)
