from __future__ import annotations

from importlib import import_module

from django.apps import AppConfig, apps
from django.contrib.admin.apps import SimpleAdminConfig
from django.db.models.signals import pre_migrate

from coderapi.database.checks import refuse_other_schemas


class CoderapiConfig(AppConfig):
    name = "coderapi"

    def ready(self) -> None:
        # Django sends `pre_migrate` once for each app. The receiver is connected for only one app,
        # because the check needs to run only once.
        pre_migrate.connect(refuse_other_schemas, sender=apps.get_app_config("users"))
        # The import connects signal receivers, also those of `tokens.services`.
        import_module("coderapi.pages.first_steps")


class ServiceAdminConfig(SimpleAdminConfig):
    """The configuration of Django's admin, with ServiceAdminSite as the default site.

    `coderapi.urls` imports the pages of the apps, because most commands do not need them.
    """

    default_site = "coderapi.pages.admin_site.ServiceAdminSite"
