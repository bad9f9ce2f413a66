from __future__ import annotations

from django.apps import AppConfig
from django.utils.module_loading import autodiscover_modules


class AlertsConfig(AppConfig):
    name = "alerts"

    def ready(self) -> None:
        # The modules `alerts` of the other apps register their sources.
        autodiscover_modules("alerts")
