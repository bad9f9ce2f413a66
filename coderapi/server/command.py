"""The parts that `manage.py server` and `manage.py worker` have in common."""

from __future__ import annotations

import argparse
import logging
import textwrap
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from coderapi.bootstrap import private_database
from kernel.loops import repeat
from kernel.postgres import Handle, PostgresError
from options.reference import flag_help

logger = logging.getLogger(__name__)

WIDTH = 92
WATCH_SECONDS = 1.0


class _Verbatim(argparse.RawDescriptionHelpFormatter):
    """Keeps the lines of the epilog, and Django's arguments as few as they are."""


class ServerCommand(BaseCommand):
    """A command that takes Coder's flags, which manage.py reads before Django's parser sees any.

    So the parser knows nothing of them, and only its help speaks of them.
    """

    requires_system_checks: list[str] = []
    # Its short form -v is Coder's shorthand for --verbose.
    suppressed_base_arguments = {"--verbosity"}

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        parser = super().create_parser(prog_name, subcommand, allow_abbrev=False, **kwargs)
        parser.formatter_class = _Verbatim
        parser.description = textwrap.fill(parser.description or "", WIDTH)
        parser.epilog = f"Coder's options:\n\n{flag_help()}"
        return parser


@contextmanager
def private_database_watched() -> Iterator[None]:
    """Starts a private PostgreSQL that dies again; one that somebody stopped stays so."""
    handle = private_database()
    stop = threading.Event()
    if handle is not None:
        threading.Thread(
            target=_watch, args=(handle, stop), name="postgres-watch", daemon=True
        ).start()
    try:
        yield
    finally:
        stop.set()


def _watch(handle: Handle, stop: threading.Event) -> None:
    before = "running"

    def look() -> None:
        nonlocal before
        health = _health(handle)
        if health == "revived":
            logger.error("The private PostgreSQL had died, and runs again")
            health = "running"
        elif health != before:
            logger.warning("The private PostgreSQL: %s", health)
        before = health

    repeat(look, every=WATCH_SECONDS, stop=stop)


def _health(handle: Handle) -> str:
    """Returns its health, or the reason why it does not start."""
    try:
        return handle.revive()
    except PostgresError as error:
        return str(error)
