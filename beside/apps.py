from __future__ import annotations

from django.apps import AppConfig
from django.conf import settings


class BesideConfig(AppConfig):
    name = "beside"

    def ready(self) -> None:
        if settings.IDENTITY == "coder":
            from beside.identity import CoderIdentity
            from tokens import answerers

            answerers.register(CoderIdentity())
