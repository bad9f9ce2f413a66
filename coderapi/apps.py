from __future__ import annotations

from importlib import import_module
from typing import Any

from django.apps import AppConfig, apps
from django.apps.registry import Apps
from django.contrib.admin.apps import AdminConfig
from django.core.management.base import CommandError
from django.db import connections
from django.db.models.signals import pre_migrate
from django.utils.module_loading import autodiscover_modules

from kernel.db.schema import first_difference
from kernel.release import PROGRAM

UNUSABLE = f"""\
This release cannot use the database: {{difference}}. Another release has created the tables, and \
no migration converts them. Use that release, or move the data to a new database:
  {PROGRAM} export_audit >audit.jsonl
  {PROGRAM} export_csp_reports >reports.jsonl
  {PROGRAM} export_agent_stats >rows.jsonl
Then set DATABASE_URL to a new database, or CODERAPI_DATA_DIR to a new directory, and run:
  {PROGRAM} migrate
  {PROGRAM} import_csp_reports reports.jsonl
  {PROGRAM} import_agent_stats rows.jsonl
Create users, tokens, token policies and ingest keys again. The audit trail stays in its file."""


class CoderapiConfig(AppConfig):
    name = "coderapi"

    def ready(self) -> None:
        # Django sends `pre_migrate` once for each app. The receiver is connected for only one app,
        # because the check needs to run only once.
        pre_migrate.connect(refuse_other_schemas, sender=apps.get_app_config("users"))
        import_module("coderapi.first_steps")  # The import connects a signal receiver.


class ServiceAdminConfig(AdminConfig):
    """The configuration of Django's admin, with ServiceAdminSite as the default site."""

    default_site = "coderapi.admin_site.ServiceAdminSite"

    def ready(self) -> None:
        super().ready()
        autodiscover_modules("admin_cards")


def refuse_other_schemas(*, using: str, apps: Apps, **more: Any) -> None:
    """Raises CommandError if the database cannot be migrated.

    `apps` has the models as the applied migrations have left them.
    """
    with connections[using].cursor() as cursor:
        if is_coders_database(cursor):
            raise CommandError(
                "The database contains the tables of Coder's server. Set DATABASE_URL to another "
                "database."
            )
        check_tables(cursor, apps)


def check_tables(cursor: Any, known: Apps) -> None:
    """Raises CommandError if tables differ from the models, and names commands that move data.

    The names of migrations are not sufficient, because a migration may have been changed after it
    was applied.
    """
    if difference := first_difference(cursor, known.get_models()):
        raise CommandError(UNUSABLE.format(difference=difference))


def is_coders_database(cursor: Any) -> bool:
    """Returns whether the database contains the tables of Coder's server."""
    cursor.execute(
        "SELECT num_nulls(to_regclass('api_keys'), to_regclass('workspace_agent_stats')) = 0"
    )
    return bool(cursor.fetchone()[0])
