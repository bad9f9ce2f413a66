from __future__ import annotations

from django.apps import AppConfig


class CspConfig(AppConfig):
    name = "csp"
    verbose_name = "CSP"
