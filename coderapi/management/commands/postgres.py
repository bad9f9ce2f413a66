from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import CommandParser

from coderapi import postgres
from coderapi.postgres.clients import run_psql, target
from coderapi.postgres.commands import PostgresCommand
from kernel.commands import UsageError
from kernel.release import PROGRAM

ACTIONS = {
    "psql": "open a shell in the service's database; passes other arguments to psql",
    "url": "print the URL of the private database, including the password; does not start it",
    "stop": "stop the private database, even if other processes use it",
}


class Command(PostgresCommand):
    help = (
        "Opens a shell in the service's database, and manages the private PostgreSQL server. The "
        "service's database is the database in DATABASE_URL. Without this variable, it is the "
        "private database in the data directory. `psql` runs PostgreSQL's own program, and returns "
        "its exit status."
        "\n\nActions:\n"
    ) + "\n".join(f"  {action}: {text}" for action, text in ACTIONS.items())
    examples = "psql -c 'SELECT count(*) FROM tokens_apikey'"

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "action", choices=ACTIONS, metavar="ACTION", help="one of the actions above"
        )
        # Sub-parsers are not used, because they would parse the options for psql.
        parser.add_argument(
            "arguments", nargs=argparse.REMAINDER, metavar="…", help="arguments for psql"
        )

    def act(
        self, directory: Path, *, action: str, arguments: list[str], **options: Any
    ) -> str | None:
        if action == "psql":
            with target(settings.DIRECT_DATABASE_URL, directory) as on:
                sys.exit(run_psql(arguments, on=on))
        if arguments:
            raise UsageError(f"{action} takes no arguments, but got {' '.join(arguments)}.")
        return self._url(directory) if action == "url" else self._stop(directory)

    def _url(self, directory: Path) -> str:
        url, listening = postgres.address(directory)
        if not listening:
            self.stderr.write(
                f"The private PostgreSQL is not running. `{PROGRAM} server` starts it."
            )
        return url

    def _stop(self, directory: Path) -> str:
        was_running = postgres.stop(directory)
        return "PostgreSQL is stopped." if was_running else "PostgreSQL was not running."
