from __future__ import annotations

from django.apps import AppConfig


class BesideConfig(AppConfig):
    name = "beside"

    def ready(self) -> None:
        from beside.database.follower import counts_usage
        from stats.services import set_usage_rule

        set_usage_rule(counts_usage)
