"""The base class of commands that open the service's database without Django's connection."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from typing import IO, Any

from django.apps import apps
from django.core.management.base import CommandError

from kernel.commands import BaseCommand, confirm
from kernel.datadir import DataDirectoryError, data_dir
from kernel.postgres.account import PostgresError
from kernel.postgres.clients import Target
from kernel.postgres.replacement import PsqlCursor, check_replaceable, described, replace


class PostgresCommand(BaseCommand):
    requires_system_checks = []

    def handle(self, *args: Any, **options: Any) -> str | None:
        # SIGTERM raises SystemExit, so that a terminated command stops the server that it started.
        signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
        try:
            return self.act(data_dir(os.environ), **options)
        except (PostgresError, DataDirectoryError) as error:
            raise CommandError(str(error)) from error
        except OSError as error:
            text = f"{error.filename}: {error.strerror}." if error.filename else str(error)
            raise CommandError(text) from error

    def act(self, *directory: Any, **options: Any) -> str | None:
        """Runs the command. `directory` is the data directory. Returns the summary."""
        raise NotImplementedError

    def replace_database(
        self,
        on: Target,
        dump: IO[bytes],
        *,
        source: str,
        yes: bool,
        check: Callable[[PsqlCursor], object],
    ) -> str:
        """Replaces all data with the dump, after a confirmation. Returns the summary.

        `check` raises an error if this release cannot use the restored tables.
        """
        own = own_tables()
        has_data = check_replaceable(on, own_tables=own)
        if has_data and not yes:
            confirm(f"This deletes all data of the service and replaces it with {source}.")
        replace(on, dump, own_tables=own, check=check)
        return f"Restored {described(on)} from {source}."


def own_tables() -> list[str]:
    """Returns the tables of the service, without their partitions."""
    models = apps.get_models(include_auto_created=True)
    return [*(model._meta.db_table for model in models), "django_migrations"]
