from __future__ import annotations

from typing import Any

from corsheaders.signals import check_request_enabled
from django.apps import AppConfig


class CspConfig(AppConfig):
    name = "csp"
    verbose_name = "CSP"

    def ready(self) -> None:
        check_request_enabled.connect(_is_reporting, dispatch_uid="csp.reporting")


def _is_reporting(sender: Any, request: Any, **more: Any) -> bool:
    """Returns whether a page of another origin may report.

    django-cors-headers calls this function to decide whether the response needs CORS headers. It
    also does so for the preflight requests that browsers send for the Reporting API.
    """
    from csp.access import keys

    return keys.is_open_to(request.path, request.GET, origin=request.headers.get("Origin", ""))
