from __future__ import annotations

from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import CommandParser

from coderapi.database.restoring import check_backup, check_restored
from kernel.commands import add_yes_argument
from kernel.datadir import write_private
from kernel.postgres import backup
from kernel.postgres.clients import target
from kernel.postgres.commands import PostgresCommand


class Command(PostgresCommand):
    help = (
        "Replaces all data of the service with a backup that `backup` created. The service must be "
        "stopped. If the restore fails, or if this release cannot use the backup, the existing "
        "data does not change. Restore only files that you trust, because a backup contains SQL."
    )
    examples = "coderapi-2026-01-31.backup"

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", metavar="FILE", type=Path, help="the path of the backup")
        add_yes_argument(parser, "replace existing data without asking")

    def act(self, directory: Path, *, file: Path, yes: bool, **options: Any) -> str:
        url = settings.DIRECT_DATABASE_URL
        with backup.opened(file) as contents, target(url, directory, make=True) as on:
            about = contents.about
            check_backup(about)
            source = f"{file} of {about.made_at}, release {about.release}"
            done = self.replace_database(
                on, contents.dump, source=source, yes=yes, check=check_restored
            )
        return f"{done} {_keep_key(directory, contents.secret_key)}".strip()


def _keep_key(directory: Path, key: str) -> str:
    """Stores the secret key of the backup. Returns an instruction for the operator, or "".

    The key is stored only if this service reads its secret key from the data directory. If the key
    is in CODERAPI_SECRET_KEY instead, the operator may have to change that variable.
    """
    named = settings.OPTIONS["CODERAPI_SECRET_KEY"]
    if not named and not settings.DIRECT_DATABASE_URL:
        write_private(directory / "secret_key", f"{key}\n")
    elif named != key:
        return (
            "CODERAPI_SECRET_KEY differs from the secret key in the backup. Set it to the content "
            "of the file `secret_key` in the backup, which is a zip archive. Otherwise all users "
            "must sign in to the admin again."
        )
    return ""
