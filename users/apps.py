from __future__ import annotations

from django.apps import AppConfig


class UsersConfig(AppConfig):
    name = "users"

    def ready(self) -> None:
        from users import backends  # noqa: F401 - it listens to Django's sign-in signals
