from __future__ import annotations

from importlib import import_module
from typing import Any

from django.apps import AppConfig, apps
from django.contrib.admin.apps import AdminConfig
from django.core.management.base import CommandError
from django.db import connections
from django.db.models.signals import pre_migrate
from django.utils.module_loading import autodiscover_modules


class CoderapiConfig(AppConfig):
    name = "coderapi"

    def ready(self) -> None:
        # Django sends `pre_migrate` once for each app. The receiver is connected for only one app,
        # because the check needs to run only once.
        pre_migrate.connect(refuse_coders_database, sender=apps.get_app_config("users"))
        import_module("coderapi.first_steps")  # The import connects a signal receiver.


class ServiceAdminConfig(AdminConfig):
    """The configuration of Django's admin, with ServiceAdminSite as the default site."""

    default_site = "coderapi.admin_site.ServiceAdminSite"

    def ready(self) -> None:
        super().ready()
        autodiscover_modules("admin_cards")


def refuse_coders_database(*, using: str, **more: Any) -> None:
    """Raises CommandError if the database belongs to Coder's server."""
    with connections[using].cursor() as cursor:
        if is_coders_database(cursor):
            raise CommandError(
                "The database contains the tables of Coder's server. Set DATABASE_URL to another "
                "database."
            )


def is_coders_database(cursor: Any) -> bool:
    """Returns whether the database contains the tables of Coder's server."""
    cursor.execute(
        "SELECT num_nulls(to_regclass('api_keys'), to_regclass('workspace_agent_stats')) = 0"
    )
    return bool(cursor.fetchone()[0])
