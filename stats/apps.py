from __future__ import annotations

from django.apps import AppConfig


class StatsConfig(AppConfig):
    name = "stats"

    def ready(self) -> None:
        from stats.retention import AGENT_ROWS
        from users.erasure import register

        register(AGENT_ROWS)
