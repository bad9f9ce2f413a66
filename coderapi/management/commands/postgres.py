from __future__ import annotations

import argparse
import signal
import sys
import threading
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import CommandParser

from coderapi.database.restoring import check_restored
from coderapi.server.command import watch
from kernel import postgres
from kernel.commands import UsageError, add_yes_argument
from kernel.postgres.clients import CLIENTS, run_client, target
from kernel.postgres.commands import PostgresCommand
from kernel.release import PROGRAM

ACTIONS = {
    "psql": "open a shell in the service's database; passes other arguments to psql",
    "dump": "write a dump of the service's database; passes other arguments to pg_dump",
    "restore": "restore a dump that you trust, because it contains SQL; passes other arguments to "
    "pg_restore",
    "restore --replace FILE": "replace all data of the service with a dump; the service must be "
    "stopped; asks for confirmation unless --yes is given",
    "url": "print the URL of the private database, including the password; does not start it",
    "serve": "run the private database until Ctrl-C or SIGTERM",
    "stop": "stop the private database, even if other processes use it",
    "upgrade": "move the private database to the newest PostgreSQL on this machine",
}
STOPPED = "PostgreSQL is stopped."


class Command(PostgresCommand):
    help = (
        "Dumps and restores the service's database, opens a shell in it, and manages the private "
        "PostgreSQL server. The service's database is the database in DATABASE_URL. Without this "
        "variable, it is the private database in the data directory. `psql`, `dump` and `restore` "
        "run PostgreSQL's own programs, and return the exit status of these programs. The command "
        "`backup` is simpler than `dump`, and it tests the backup."
        "\n\nActions:\n"
    ) + "\n".join(f"  {action}: {text}" for action, text in ACTIONS.items())
    examples = (
        "dump --format=custom --file=coderapi.dump\n"
        "restore --replace coderapi.dump\n"
        "psql -c 'SELECT count(*) FROM tokens_apikey'"
    )

    def add_arguments(self, parser: CommandParser) -> None:
        actions = [action for action in ACTIONS if " " not in action]
        parser.add_argument(
            "action", choices=actions, metavar="ACTION", help="one of the actions above"
        )
        # Sub-parsers are not used, because they would parse the options for psql.
        parser.add_argument(
            "arguments",
            nargs=argparse.REMAINDER,
            metavar="…",
            help="arguments for PostgreSQL's program",
        )

    def act(
        self, directory: Path, *, action: str, arguments: list[str], **options: Any
    ) -> str | None:
        if action == "restore" and "--replace" in arguments:
            return self._replace(directory, arguments)
        if action in CLIENTS:
            # `restore` creates the database if necessary, because a dump is often restored on a
            # new machine.
            with target(settings.DIRECT_DATABASE_URL, directory, make=action == "restore") as on:
                sys.exit(run_client(CLIENTS[action], arguments, on=on))
        if arguments:
            raise UsageError(f"{action} takes no arguments, but got {' '.join(arguments)}.")
        own = {"url": self._url, "serve": self._serve, "stop": self._stop, "upgrade": self._upgrade}
        return own[action](directory)

    def _replace(self, directory: Path, arguments: Sequence[str]) -> str:
        parser = CommandParser(prog=f"{self._parser.prog} restore", allow_abbrev=False)
        parser.add_argument("--replace", metavar="FILE", type=Path, required=True)
        add_yes_argument(parser, "replace existing data without asking")
        given = parser.parse_args(arguments)
        with (
            given.replace.open("rb") as dump,
            target(settings.DIRECT_DATABASE_URL, directory, make=True) as on,
        ):
            return self.replace_database(
                on, dump, source=str(given.replace), yes=given.yes, check=check_restored
            )

    def _url(self, directory: Path) -> str:
        url, listening = postgres.address(directory)
        if not listening:
            self.stderr.write(
                f"The private PostgreSQL is not running. `{PROGRAM} postgres serve` starts it."
            )
        return url

    def _serve(self, directory: Path) -> str:
        ended = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: ended.set())
        handle = postgres.acquire(directory)
        try:
            self.stdout.write(f"PostgreSQL {handle.programs.major} is ready in {directory}.")
            self.stdout.flush()
            watch(handle, ended, until_stopped=True)
        finally:
            handle.release()
        if postgres.address(directory)[1]:
            return "PostgreSQL runs until the other processes that use it have ended."
        return STOPPED

    def _stop(self, directory: Path) -> str:
        stopped = postgres.stop(directory)
        if stopped.holders:
            self.stderr.write(f"These processes used PostgreSQL: {', '.join(stopped.holders)}.")
        return STOPPED if stopped.was_running else "PostgreSQL was not running."

    def _upgrade(self, directory: Path) -> str:
        kept = postgres.upgrade(directory, now=datetime.now(tz=UTC))
        if kept is None:
            return "No upgrade is needed: the data has the newest version on this machine."
        return f"Upgraded. The old data is in {kept}. Remove it when the service works."
