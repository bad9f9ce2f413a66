from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from kernel import postgres
from kernel.datadir import DataDirectoryError, data_dir
from kernel.loops import repeat
from kernel.release import PROGRAM

ACTIONS = {
    "url": "print the address, password included, without starting anything",
    "serve": "keep it running until Ctrl-C or SIGTERM",
    "psql": "open a shell in it; what follows goes to psql",
    "stop": "stop it, even if others use it",
    "upgrade": "move the data to the newest PostgreSQL on this machine",
}
WATCH_SECONDS = 2.0


class Command(BaseCommand):
    help = "The private PostgreSQL of the data directory: " + "; ".join(
        f"{action}: {what}" for action, what in ACTIONS.items()
    )
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("action", choices=ACTIONS)
        # One parser and no sub-parsers: those take psql's options for their own.
        parser.add_argument("arguments", nargs=argparse.REMAINDER, help="for psql only")

    def handle(self, *args: Any, action: str, arguments: list[str], **options: Any) -> str | None:
        if arguments and action != "psql":
            raise CommandError(f"{action} takes no arguments, and got {' '.join(arguments)}.")
        # Unless it ends as by an error, a killed command would leave its server running.
        signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
        try:
            directory = data_dir(os.environ)
            return self._act(action, directory, arguments)
        except (postgres.PostgresError, DataDirectoryError) as error:
            raise CommandError(str(error)) from error

    def _act(self, action: str, directory: Path, arguments: list[str]) -> str | None:
        if action == "psql":
            return self._psql(directory, arguments)
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

    def _psql(self, directory: Path, arguments: list[str]) -> str | None:
        handle = postgres.acquire(directory)
        # Ctrl-C is for psql, which a handler of ours does not reach; ignoring would be inherited.
        signal.signal(signal.SIGINT, lambda *_: None)
        outside = {name: text for name, text in os.environ.items() if not name.startswith("PG")}
        try:
            result = subprocess.run(  # noqa: S603 - our own program, the user's arguments, no shell
                [handle.binaries / "psql", *arguments],
                check=False,
                env=outside | handle.environment,
            )
        finally:
            handle.release()
        if result.returncode:
            raise CommandError("psql failed.", returncode=result.returncode)
        return None

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
