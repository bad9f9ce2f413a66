from __future__ import annotations

import logging
import time
from contextlib import ExitStack
from functools import partial
from typing import Any

from django.core.management.commands import migrate
from django.db import transaction

from coderapi.database import migrating
from kernel.commands import BaseCommand

logger = logging.getLogger(__name__)

# A migration that takes longer is logged if the command prints nothing, at the start of a server.
LONG_SECONDS = 1.0


class Command(BaseCommand, migrate.Command):
    """Commits each migration together with its record.

    Django records a migration after its commit. If a signal or a crash came between, each further
    start would apply the migration again, and fail.
    """

    help = (
        "Applies the missing migrations to the database, as each start of `server` does. You can "
        "run this command while the service runs: if another transaction uses a table, it lets "
        "requests pass and tries again. If another process migrates, it waits until this process "
        "has finished."
    )
    examples = "--plan"
    fails_if = "--check finds a missing migration"
    requires_migrations_checks = False

    def handle(self, *args: Any, **options: Any) -> None:
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
