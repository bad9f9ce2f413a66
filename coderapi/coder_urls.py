"""The URL configuration with CODERAPI_IDENTITY=coder. The users and tokens belong to Coder."""

from __future__ import annotations

from django.urls import URLPattern, URLResolver, include, path

from coderapi import urls
from coderapi.urls import handler400, handler403, handler404, handler500

__all__ = ["handler400", "handler403", "handler404", "handler500", "urlpatterns"]

OF_CODER = {"users.urls", "tokens.urls"}

urlpatterns: list[URLPattern | URLResolver] = [
    path("api/v2/", include("beside.urls")),
    *(
        route
        for route in urls.urlpatterns
        if getattr(getattr(route, "urlconf_module", None), "__name__", "") not in OF_CODER
    ),
]
