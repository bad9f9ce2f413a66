"""Django's command `migrate`, which commits each migration together with its record."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

from django.core.management.commands import migrate
from django.db import transaction


class AtomicMigrate(migrate.Command):
    """Commits a migration and its record together.

    Django records a migration after its commit. If a signal or a crash came between, each further
    start would apply the migration again, and fail.
    """

    def handle(self, *args: Any, **options: Any) -> None:
        with ExitStack() as self._open:
            super().handle(*args, **options)

    def migration_progress_callback(
        self, action: str, migration: Any = None, fake: bool = False
    ) -> None:
        if action in {"apply_start", "unapply_start"} and migration.atomic:
            self._open.enter_context(transaction.atomic())
        if action in {"apply_success", "unapply_success"}:
            self._open.close()
        super().migration_progress_callback(action, migration, fake)
