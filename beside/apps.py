from __future__ import annotations

from django.apps import AppConfig
from django.conf import settings


class BesideConfig(AppConfig):
    name = "beside"
    verbose_name = "Coder deployment"

    def ready(self) -> None:
        if settings.USER_SOURCE == "coder":
            from beside.identity import CoderIdentity
            from tokens.verification import providers

            providers.register(CoderIdentity())
        if settings.CODER_URL:
            from beside import coder_release
            from beside.token_policy import CODER_TOKENS
            from kernel.coder import running as running_coder
            from users import erasure

            running_coder.use_source(coder_release.version)
            erasure.register(CODER_TOKENS)
        if settings.CONFIG_SOURCE == "coder":
            from beside.configuration import documents

            documents.use_coder()
        from beside.database import counts_usage
        from stats import statistics

        statistics.counts_usage = counts_usage
