from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from django.apps import apps
from django.conf import settings
from django.core.management.base import CommandError, CommandParser
from django.db.migrations.loader import MigrationLoader

from coderapi.database.checks import check_database
from coderapi.database.migrating import applied_migrations, known_migrations
from coderapi.database.schema import first_difference
from coderapi.postgres import backup
from coderapi.postgres.clients import target
from coderapi.postgres.commands import PostgresCommand
from coderapi.postgres.datadir import write_private
from coderapi.postgres.replacement import check_replaceable, described, replace
from kernel.commands import add_yes_argument, confirm
from kernel.db.schema_number import SCHEMA


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
        url, own = settings.DIRECT_DATABASE_URL, own_tables()
        with backup.opened(file) as contents, target(url, directory, make=True) as on:
            about = contents.about
            _check_release(about)
            source = f"{file} of {about.made_at}, release {about.release}"
            if check_replaceable(on, own_tables=own) and not yes:
                confirm(f"This deletes all data of the service and replaces it with {source}.")
            replace(on, contents.dump, own_tables=own, check=_check_restored)
            done = f"Restored {described(on)} from {source}."
        return f"{done} {_keep_key(directory, contents.secret_key)}".strip()


def own_tables() -> list[str]:
    """Returns the tables of the service, without their partitions."""
    models = apps.get_models(include_auto_created=True)
    return [*(model._meta.db_table for model in models), "django_migrations"]


def _check_release(about: backup.About) -> None:
    """Raises CommandError if another release, or a newer one, has made the backup.

    Missing migrations are allowed, because the next start applies them.
    """
    if about.schema > SCHEMA:
        raise CommandError(
            f"Nothing is changed: the backup has schema {about.schema} of release {about.release}, "
            f"and this release has schema {SCHEMA}. Use the release of the backup or a newer one."
        )
    _check_migrations(about.migrations)


def _check_restored(cursor: Any) -> None:
    """Raises CommandError if a server of this release would not start with the restored tables."""
    check_database(cursor)
    if not (applied := applied_migrations(cursor)):
        raise CommandError("Nothing is changed: the file lacks the tables of this service.")
    _check_migrations(map(".".join, applied))
    # The models as the applied migrations have left them.
    models = MigrationLoader(None).project_state(list(applied)).apps.get_models()
    if difference := first_difference(cursor, models):
        raise CommandError(
            f"Nothing is changed: this release cannot use the data: {difference}. Another release "
            "has created the tables, and no migration converts them."
        )


def _check_migrations(applied: Iterable[str]) -> None:
    known = map(".".join, known_migrations())
    if unknown := sorted(set(applied).difference(known)):
        raise CommandError(
            "Nothing is changed: another release has applied these migrations, which this release "
            f"does not know: {', '.join(unknown)}. Use a release that has them."
        )


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
