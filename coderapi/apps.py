from __future__ import annotations

from importlib import import_module
from typing import Any

from django.apps import AppConfig, apps
from django.contrib.admin.apps import AdminConfig
from django.core.management.base import CommandError
from django.db import connections
from django.db.models.signals import pre_migrate
from django.utils.module_loading import autodiscover_modules

CODERS_TABLES = ["api_keys", "workspace_agent_stats"]


class CoderapiConfig(AppConfig):
    name = "coderapi"

    def ready(self) -> None:
        # The signal comes once for each app; one of them is enough.
        pre_migrate.connect(refuse_coders_database, sender=apps.get_app_config("users"))
        import_module("coderapi.first_steps")  # It has a signal receiver.


class ServiceAdminConfig(AdminConfig):
    """Django's admin with our site in the place of the stock one."""

    default_site = "coderapi.admin_site.ServiceAdminSite"

    def ready(self) -> None:
        super().ready()
        autodiscover_modules("admin_cards")


def refuse_coders_database(*, using: str, **more: Any) -> None:
    """Refuses to migrate Coder's own database. Raises: CommandError."""
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
