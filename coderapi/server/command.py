"""The code that `coderapi server` and `coderapi worker` share."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.core.management.base import CommandParser

from coderapi.postgres import Handle, PostgresError
from coderapi.startup.bootstrap import private_database
from kernel.commands import BaseCommand
from kernel.loops import Backoff, repeat
from options.reference import flag_help

logger = logging.getLogger(__name__)

WATCH_SECONDS = 1.0
# The longest pause between two attempts to restart the private PostgreSQL after an error, such as a
# full disk.
MAX_PAUSE_SECONDS = 4.0


class ServerCommand(BaseCommand):
    """A command that accepts Coder's flags.

    `bootstrap` parses and removes these flags before Django parses the arguments. This class only
    adds them to the help.
    """

    requires_migrations_checks = False

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        parser = super().create_parser(prog_name, subcommand, **kwargs)
        # The examples are easier to find before the long list of options.
        parser.description = f"{parser.description}\n\n{parser.epilog}"
        parser.epilog = f"Coder's options:\n\n{flag_help()}"
        return parser


@contextmanager
def private_database_watched() -> Iterator[None]:
    """Restarts the private PostgreSQL if it ends, unless `coderapi postgres stop` ended it."""
    stop = threading.Event()
    for handle in private_database:
        threading.Thread(
            target=watch, args=(handle, stop), name="postgres-watch", daemon=True
        ).start()
    try:
        yield
    finally:
        stop.set()


def watch(handle: Handle, stop: threading.Event) -> None:
    """Restarts the private PostgreSQL if it ends, until `stop` is set."""
    before = "running"
    backoff = Backoff(first=WATCH_SECONDS, longest=MAX_PAUSE_SECONDS)

    def look() -> float | None:
        nonlocal before
        pause, health = None, ""
        try:
            health = handle.revive()
        except PostgresError as error:
            pause, health = backoff.after(0), str(error)
        if health == "revived":
            backoff.failures = 0
            logger.error("The private PostgreSQL had ended and was restarted")
            health = "running"
        elif health != before:
            logger.warning("The private PostgreSQL: %s", health)
        before = health
        return pause

    repeat(look, every=WATCH_SECONDS, stop=stop)
