from __future__ import annotations

from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import CommandParser

from kernel.datadir import replace_secret
from kernel.postgres import backup
from kernel.postgres.clients import target
from kernel.postgres.commands import PostgresCommand, add_yes_argument


class Command(PostgresCommand):
    help = (
        "Restores a file that `backup` wrote, in the place of all data of the service, which must "
        "not be running. If the restore fails, the data are as they were."
    )
    examples = "coderapi-2026-01-31.backup"

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", metavar="FILE", type=Path, help="the backup")
        add_yes_argument(parser)

    def act(self, directory: Path, *, file: Path, yes: bool, **options: Any) -> str:
        url = settings.DIRECT_DATABASE_URL
        with backup.opened(file) as contents, target(url, directory, make=True) as on:
            about = contents.about
            source = f"{file} of {about['made_at']}, release {about['release']}"
            done = self.replace_database(on, contents.dump, source=source, yes=yes)
        return f"{done} {_keep_key(directory, contents.secret_key)}".strip()


def _keep_key(directory: Path, key: str) -> str:
    """Puts the secret key where the service reads it. Returns what is left to do."""
    named = settings.OPTIONS["CODERAPI_SECRET_KEY"]
    if not named and not settings.DIRECT_DATABASE_URL:
        replace_secret(directory, "secret_key", key)
    elif named != key:
        return (
            "The backup has another secret key than CODERAPI_SECRET_KEY. Set it to the text of "
            "`secret_key` in the zip archive, or everyone must sign in to the admin again."
        )
    return ""
