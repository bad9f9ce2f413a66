"""The base class of commands that open the service's database without Django's connection."""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

from django.core.management.base import CommandError

from coderapi.postgres.account import PostgresError
from coderapi.postgres.datadir import data_dir
from kernel.commands import BaseCommand


class PostgresCommand(BaseCommand):
    expected = (PostgresError,)
    requires_migrations_checks = False

    def handle(self, *args: Any, **options: Any) -> str | None:
        # SIGTERM raises SystemExit, so that a terminated command stops the server that it started.
        signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
        try:
            return self.act(data_dir(os.environ), **options)
        except OSError as error:
            text = f"{error.filename}: {error.strerror}." if error.filename else str(error)
            raise CommandError(text) from error

    def act(self, *directory: Any, **options: Any) -> str | None:
        """Runs the command. `directory` is the data directory. Returns the summary."""
        raise NotImplementedError
