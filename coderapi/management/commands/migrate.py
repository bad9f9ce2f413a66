from __future__ import annotations

import argparse
import logging
import time
from contextlib import ExitStack
from functools import partial
from typing import Any

from django.core.management import CommandParser
from django.core.management.commands import migrate
from django.db import DEFAULT_DB_ALIAS, transaction

from coderapi.database import migrating
from kernel.commands import BaseCommand, UsageError
from kernel.release import PROGRAM

logger = logging.getLogger(__name__)

# A migration that takes longer is logged if the command prints nothing, at the start of a server.
LONG_SECONDS = 1.0

# Django's arguments that remove tables, or that change what is recorded as applied. Django's own
# test runner passes some of them, so only the command line refuses them.
REFUSED = ("fake", "fake_initial", "prune", "run_syncdb")
FORWARD_ONLY = (
    "migrations only go forward, and all together, but you gave {}. To return to an earlier state "
    f"of the data, restore a backup of that state: `{PROGRAM} restore FILE`. The previous release "
    "also runs on this schema."
)


class Command(BaseCommand, migrate.Command):
    """Commits each migration together with its record.

    Django records a migration after its commit. If a signal or a crash came between, each further
    start would apply the migration again, and fail.
    """

    help = (
        "Applies the missing migrations to the database, as each start of `server` does. You can "
        "run this command while the service runs: if another transaction uses a table, it lets "
        "requests pass and tries again. If another process migrates, it waits until this process "
        "has finished. Migrations only go forward: to return to an earlier state, restore a backup."
    )
    examples = "--plan"
    fails_if = "--check finds a missing migration"
    requires_migrations_checks = False
    stealth_options = ("app_label", "database", "interactive", "migration_name")

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--plan", action="store_true", help="show what would be applied")
        parser.add_argument(
            "--check",
            action="store_true",
            dest="check_unapplied",
            help="apply nothing; exit with status 1 if a migration is missing",
        )
        parser.add_argument("given", nargs="*", help=argparse.SUPPRESS)
        for name in REFUSED:
            flag = f"--{name.replace('_', '-')}"
            parser.add_argument(flag, action="store_true", help=argparse.SUPPRESS)
        # This command never asks, but scripts may pass the flag.
        parser.add_argument("--no-input", "--noinput", action="store_true", help=argparse.SUPPRESS)
        parser.set_defaults(
            app_label=None, migration_name=None, database=DEFAULT_DB_ALIAS, interactive=False
        )

    def handle(self, *args: Any, given: list[str], **options: Any) -> None:
        flags = [f"--{name.replace('_', '-')}" for name in REFUSED if options[name]]
        if self._parser.called_from_command_line and (refused := [*given, *flags]):
            raise UsageError(FORWARD_ONLY.format(" ".join(refused)))
        apply = partial(self._apply, *args, **options)
        if options["plan"] or options["check_unapplied"]:
            apply()
        else:
            migrating.migrate(apply)

    def _apply(self, *args: Any, **options: Any) -> None:
        with ExitStack() as self._open:
            super().handle(*args, **options)

    def migration_progress_callback(
        self, action: str, migration: Any = None, fake: bool = False
    ) -> None:
        if action in {"apply_start", "unapply_start"}:
            self._began = time.monotonic()
            if migration.atomic:
                self._open.enter_context(transaction.atomic())
        if action in {"apply_success", "unapply_success"}:
            self._open.close()
            seconds = time.monotonic() - self._began
            if seconds > LONG_SECONDS and not self.verbosity:
                logger.info("Applied the migration %s in %.1f s.", migration, seconds)
        super().migration_progress_callback(action, migration, fake)
