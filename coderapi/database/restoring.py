"""Checks whether this release can use the data of a backup or dump, before it replaces any data."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from django.core.management.base import CommandError
from django.db.migrations.loader import MigrationLoader

from coderapi.database.checks import check_database
from coderapi.database.migrating import applied_migrations, known_migrations
from coderapi.database.schema import SCHEMA
from kernel.db.schema import first_difference
from kernel.postgres.backup import About


def check_backup(about: About) -> None:
    """Raises CommandError if another release, or a newer one, has made the backup."""
    if about.schema > SCHEMA:
        raise CommandError(
            f"Nothing is changed: the backup has schema {about.schema} of release {about.release}, "
            f"and this release has schema {SCHEMA}. Use the release of the backup or a newer one."
        )
    check_migrations([(app, name) for app, _, name in (x.partition(".") for x in about.migrations)])


def check_migrations(applied: Collection[tuple[str, str]]) -> None:
    """Raises CommandError if another release has applied the migrations.

    Missing migrations are allowed, because the next start applies them.
    """
    if not applied:
        raise CommandError("Nothing is changed: the file lacks the tables of this service.")
    if unknown := sorted(set(applied) - known_migrations()):
        names = ", ".join(f"{app}.{name}" for app, name in unknown)
        raise CommandError(
            "Nothing is changed: another release has applied these migrations, which this release "
            f"does not know: {names}. Use a release that has them."
        )


def check_restored(cursor: Any) -> None:
    """Raises CommandError if a server of this release would not start with the restored tables."""
    check_database(cursor)
    applied = applied_migrations(cursor)
    check_migrations(applied)
    # The models as the applied migrations have left them.
    models = MigrationLoader(None).project_state(list(applied)).apps.get_models()
    if difference := first_difference(cursor, models):
        raise CommandError(
            f"Nothing is changed: this release cannot use the data: {difference}. Another release "
            "has created the tables, and no migration converts them."
        )
