"""Django's admin with our site in the place of the stock one."""

from __future__ import annotations

from django.contrib.admin.apps import AdminConfig
from django.utils.module_loading import autodiscover_modules


class ServiceAdminConfig(AdminConfig):
    default_site = "coderapi.admin_site.ServiceAdminSite"

    def ready(self) -> None:
        super().ready()
        autodiscover_modules("admin_cards")
