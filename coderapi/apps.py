from __future__ import annotations

from typing import Any

from django.apps import AppConfig, apps
from django.core.management.base import CommandError
from django.db import connections
from django.db.models.signals import pre_migrate

CODERS_TABLES = ["api_keys", "workspace_agent_stats"]


class CoderapiConfig(AppConfig):
    name = "coderapi"

    def ready(self) -> None:
        # The signal comes once for each app; one of them is enough.
        pre_migrate.connect(refuse_coders_database, sender=apps.get_app_config("users"))


def refuse_coders_database(*, using: str, **more: Any) -> None:
    """Raises: CommandError, before anything is changed, where the database is Coder's own."""
    with connections[using].cursor() as cursor:
        cursor.execute(
            "SELECT bool_and(to_regclass(name) IS NOT NULL) FROM unnest(%s::text[]) AS name",
            [CODERS_TABLES],
        )
        (is_coders,) = cursor.fetchone() or (False,)
    if is_coders:
        raise CommandError(
            "The database holds Coder's own tables: name another one in DATABASE_URL."
        )
