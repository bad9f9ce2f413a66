from __future__ import annotations

from pathlib import Path
from typing import Any

import psycopg
from django.conf import settings
from django.core.management.base import CommandError, CommandParser
from django.utils import timezone

from alerts.alerts import BACKUP
from audit import services as audit
from audit.services import COLUMNS, SYSTEM, Change, entry_values
from coderapi.postgres import backup
from coderapi.postgres.clients import Target, target
from coderapi.postgres.commands import PostgresCommand
from coderapi.postgres.datadir import secret
from kernel.release import commit
from kernel.text import humanize

INSERT = f"""
INSERT INTO audit_entry ({", ".join(COLUMNS)}) VALUES ({", ".join(["%s"] * len(COLUMNS))})
"""  # noqa: S608 - the names are constants


class Command(PostgresCommand):
    help = (
        "Backs up the database and the secret key to one file that only you can read. To test the "
        "file, restores it into a temporary PostgreSQL server. You can run this command while the "
        "service runs. The temporary server needs as much space in the temporary directory "
        "(TMPDIR) as the database."
    )
    examples = "coderapi-2026-01-31.backup"

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", metavar="FILE", type=Path, help="the path of the new file")

    def act(self, directory: Path, *, file: Path, **options: Any) -> str:
        with target(settings.DIRECT_DATABASE_URL, directory) as on:
            found = backup.write(
                file,
                on,
                secret_key=_secret_key(directory),
                release=_release(),
                now=timezone.now(),
            )
            self._record(on, str(file.name))
        size = humanize.size(file.stat().st_size)
        return f"Wrote {file} ({size}). A test restored {found} from it."

    def _record(self, on: Target, name: str) -> None:
        """Records the backup in the audit trail, so that an alert can be sent if it gets old.

        This command has no connection of Django.
        """
        change = Change(audit.Target("backup", name, name))
        values = entry_values(BACKUP, change, actor=SYSTEM, now=timezone.now())
        try:
            with psycopg.connect(on.url, autocommit=True, connect_timeout=10) as connection:
                connection.execute(INSERT, values)
        except psycopg.Error as error:
            # For example, the database is a read-only standby.
            reason = str(error).splitlines()[0]
            self.stderr.write(f"The backup is not recorded in the audit trail: {reason}.")


def _release() -> str:
    found = commit()
    return f"{settings.VERSION} (commit {found})" if found else settings.VERSION


def _secret_key(directory: Path) -> str:
    if key := str(settings.OPTIONS["CODERAPI_SECRET_KEY"]):
        return key
    if settings.DIRECT_DATABASE_URL:
        raise CommandError(
            "Set CODERAPI_SECRET_KEY to the secret key of the service. A backup contains this key."
        )
    return secret(directory, "secret_key", None)
