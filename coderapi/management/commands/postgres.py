from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError, CommandParser

from kernel import postgres
from kernel.commands import BaseCommand, UsageError
from kernel.datadir import DataDirectoryError, data_dir
from kernel.loops import repeat
from kernel.postgres.clients import CLIENTS, run_client, variables_of
from kernel.release import PROGRAM

ACTIONS = {
    "psql": "open a shell in the service's database; what follows goes to psql",
    "dump": "write a backup of that database; what follows goes to pg_dump",
    "restore": "read such a backup; what follows goes to pg_restore",
    "url": "print the private database's address, password included; start nothing",
    "serve": "keep the private database running until Ctrl-C or SIGTERM",
    "stop": "stop it, even if others use it",
    "upgrade": "move its data to the newest PostgreSQL on this machine",
}
WATCH_SECONDS = 2.0


class Command(BaseCommand):
    help = (
        "Backups and a shell for the service's database, and care for the private one. The "
        "database is that of DATABASE_URL, or else the private one of the data directory. `psql`, "
        "`dump` and `restore` are PostgreSQL's own programs, and end with their exit status."
        "\n\nActions:\n"
    ) + "\n".join(f"  {action:8} {what}" for action, what in ACTIONS.items())
    examples = (
        "dump --format=custom --file=coderapi.dump\n"
        "restore --clean --if-exists --exit-on-error --single-transaction coderapi.dump\n"
        "psql -c 'SELECT count(*) FROM tokens_apikey'"
    )
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("action", choices=ACTIONS, metavar="ACTION", help="one of the above")
        # One parser and no sub-parsers: those take psql's options for their own.
        parser.add_argument(
            "arguments", nargs=argparse.REMAINDER, metavar="…", help="for PostgreSQL's program"
        )

    def handle(self, *args: Any, action: str, arguments: list[str], **options: Any) -> str | None:
        if arguments and action not in CLIENTS:
            raise UsageError(f"{action} takes no arguments, and got {' '.join(arguments)}.")
        # Unless it ends as by an error, a killed command would leave its server running.
        signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
        try:
            directory = data_dir(os.environ)
            if action in CLIENTS:
                sys.exit(_client(CLIENTS[action], directory, arguments))
            return self._act(action, directory)
        except (postgres.PostgresError, DataDirectoryError) as error:
            raise CommandError(str(error)) from error

    def _act(self, action: str, directory: Path) -> str:
        do: dict[str, Callable[[Path], str]] = {
            "url": self._url,
            "serve": self._serve,
            "stop": self._stop,
            "upgrade": self._upgrade,
        }
        return do[action](directory)

    def _url(self, directory: Path) -> str:
        url, listening = postgres.address(directory)
        if not listening:
            self.stderr.write(f"It is not running: `{PROGRAM} postgres serve` starts it.")
        return url

    def _serve(self, directory: Path) -> str:
        ended = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: ended.set())
        handle = postgres.acquire(directory)
        try:
            self.stdout.write(f"PostgreSQL {handle.version_major} is ready in {directory}.")
            self.stdout.flush()
            return self._watch(handle, ended)
        finally:
            handle.release()

    def _watch(self, handle: postgres.Handle, ended: threading.Event) -> str:
        said = "Left it; the last one to leave stops it."

        def look() -> None:
            nonlocal said
            health = self._health(handle)
            if health == "stopped":
                said = "Somebody else stopped it."
                ended.set()
            elif health == "revived":
                self.stderr.write("PostgreSQL had ended, and runs again.")

        repeat(look, every=WATCH_SECONDS, stop=ended)
        return said

    def _health(self, handle: postgres.Handle) -> str:
        try:
            return handle.revive()
        except postgres.PostgresError as error:
            self.stderr.write(str(error))
            return "away"

    def _stop(self, directory: Path) -> str:
        stopped = postgres.stop(directory)
        if stopped.holders:
            self.stderr.write(f"It was in use by {', '.join(stopped.holders)}.")
        return "Stopped." if stopped.was_running else "It was not running."

    def _upgrade(self, directory: Path) -> str:
        kept = postgres.upgrade(directory, now=datetime.now(tz=UTC))
        if kept is None:
            return "Nothing to do: no newer PostgreSQL is on this machine."
        return f"Upgraded. The old cluster is kept as {kept}; remove it when all is well."


def _client(program: str, directory: Path, arguments: Sequence[str]) -> int:
    """Returns the program's exit status."""
    if settings.DIRECT_DATABASE_URL:
        programs = postgres.newest_programs(directory)
        environ = {**os.environ, **variables_of(settings.DIRECT_DATABASE_URL)}
        return run_client(programs / program, arguments, environ=environ)
    # A backup is often restored where nothing is yet.
    handle = postgres.acquire(directory, make=program == "pg_restore")
    # What leads elsewhere stays outside.
    outside = {name: text for name, text in os.environ.items() if not name.startswith("PG")}
    try:
        return run_client(
            handle.binaries / program, arguments, environ=outside | handle.environment
        )
    finally:
        handle.release()
