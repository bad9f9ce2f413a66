from __future__ import annotations

import argparse
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import CommandParser

from kernel import postgres
from kernel.commands import UsageError
from kernel.loops import repeat
from kernel.postgres.clients import CLIENTS, run_client, target
from kernel.postgres.commands import PostgresCommand, add_yes_argument
from kernel.release import PROGRAM

ACTIONS = {
    "psql": "open a shell in the service's database; what follows goes to psql",
    "dump": "write a dump of that database; what follows goes to pg_dump",
    "restore": "read such a dump; what follows goes to pg_restore",
    "restore --replace FILE": "restore a dump in the place of all data, if the service is stopped; "
    "asks first, unless --yes follows",
    "url": "print the private database's URL, password included; start nothing",
    "serve": "run the private database until Ctrl-C or SIGTERM",
    "stop": "stop it, even if other processes use it",
    "upgrade": "move its data to the newest PostgreSQL on this machine",
}
WATCH_SECONDS = 2.0


class Command(PostgresCommand):
    help = (
        "Dumps and a shell for the service's database, and care for the private one. The database "
        "is that of DATABASE_URL, or the private one of the data directory. `psql`, `dump` and "
        "`restore` are PostgreSQL's own programs, and end with their exit status. `backup` is "
        "simpler, and tests what it wrote."
        "\n\nActions:\n"
    ) + "\n".join(f"  {action}: {text}" for action, text in ACTIONS.items())
    examples = (
        "dump --format=custom --file=coderapi.dump\n"
        "restore --replace coderapi.dump\n"
        "psql -c 'SELECT count(*) FROM tokens_apikey'"
    )

    def add_arguments(self, parser: CommandParser) -> None:
        actions = [action for action in ACTIONS if " " not in action]
        parser.add_argument("action", choices=actions, metavar="ACTION", help="one of the above")
        # No sub-parsers: they would parse the options of psql.
        parser.add_argument(
            "arguments", nargs=argparse.REMAINDER, metavar="…", help="for PostgreSQL's program"
        )

    def act(
        self, directory: Path, *, action: str, arguments: list[str], **options: Any
    ) -> str | None:
        if action == "restore" and "--replace" in arguments:
            return self._replace(directory, arguments)
        if action in CLIENTS:
            # A dump is often restored where no database exists yet.
            make = action == "restore"
            with target(settings.DIRECT_DATABASE_URL, directory, make=make) as on:
                sys.exit(run_client(CLIENTS[action], arguments, on=on))
        if arguments:
            raise UsageError(f"{action} takes no arguments, and got {' '.join(arguments)}.")
        actions: dict[str, Callable[[Path], str]] = {
            "url": self._url,
            "serve": self._serve,
            "stop": self._stop,
            "upgrade": self._upgrade,
        }
        return actions[action](directory)

    def _replace(self, directory: Path, arguments: Sequence[str]) -> str:
        parser = CommandParser(prog=f"{self._parser.prog} restore", allow_abbrev=False)
        parser.add_argument("--replace", metavar="FILE", type=Path, required=True)
        add_yes_argument(parser)
        given = parser.parse_args(arguments)
        with (
            given.replace.open("rb") as dump,
            target(settings.DIRECT_DATABASE_URL, directory, make=True) as on,
        ):
            return self.replace_database(on, dump, source=str(given.replace), yes=given.yes)

    def _url(self, directory: Path) -> str:
        url, listening = postgres.address(directory)
        if not listening:
            self.stderr.write(f"It is not running. `{PROGRAM} postgres serve` starts it.")
        return url

    def _serve(self, directory: Path) -> str:
        ended = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: ended.set())
        handle = postgres.acquire(directory)
        try:
            self.stdout.write(f"PostgreSQL {handle.programs.major} is ready in {directory}.")
            self.stdout.flush()
            return self._watch(handle, ended)
        finally:
            handle.release()

    def _watch(self, handle: postgres.Handle, ended: threading.Event) -> str:
        result = "Released. The server stops with the last process that uses it."

        def look() -> None:
            nonlocal result
            health = self._health(handle)
            if health == "stopped":
                result = "`postgres stop` has stopped it."
                ended.set()
            elif health == "revived":
                self.stderr.write("PostgreSQL had ended and was started again.")

        repeat(look, every=WATCH_SECONDS, stop=ended)
        return result

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
            return "Nothing to do: this machine has no newer PostgreSQL."
        return f"Upgraded. The old cluster is kept in {kept}: remove it once the service runs well."
