from __future__ import annotations

from django.apps import AppConfig


class DeploymentConfig(AppConfig):
    name = "deployment"

    def ready(self) -> None:
        from deployment import schema  # noqa: F401 - registers extensions of the schema
