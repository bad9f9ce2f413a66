"""The service's application with the static view as its only route."""

from __future__ import annotations

import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "coderapi.settings")

from django.conf import settings

settings.ROOT_URLCONF = "bench.static_view"

from coderapi.wsgi import application  # noqa: E402 - it reads the settings

__all__ = ["application"]
