"""The URL configuration with all routes of the service."""

from __future__ import annotations

from django.conf import settings
from django.contrib import admin
from django.urls import URLPattern, URLResolver, include, path
from django.utils.module_loading import autodiscover_modules
from django.views.generic import RedirectView

import csp.urls
import stats.urls
import tokens.urls
from coderapi import views
from kernel.http import CODER_API, OWN_API

admin.autodiscover()
autodiscover_modules("admin_cards")

CODER, OWN = f"{CODER_API[1:]}/", f"{OWN_API[1:]}/"

# Django tries the routes in this order, so the most frequent routes come first.
operations: list[URLPattern | URLResolver] = [
    path(CODER, include("csp.urls")),
    path(CODER, include("deployment.urls")),
    path(CODER, include("stats.urls")),
    path(CODER, include("experiments.urls")),
    path(OWN, include([*csp.urls.own, *stats.urls.own])),
]
others: list[URLPattern | URLResolver] = [
    path(CODER_API[1:], views.RootView.as_view()),
    path(CODER, views.RootView.as_view()),
    path("latency-check", views.latency_check),
    *(path(probe[1:], views.view_of(answer)) for probe, answer in views.PROBES.items()),
]


def pages(accounts: str | list[URLPattern]) -> list[URLPattern | URLResolver]:
    """Returns the routes below CODERAPI_PAGES_PATH, including those in `accounts`."""
    icon = f"{settings.STATIC_URL}coderapi/icon.svg"
    routes: list[URLPattern | URLResolver] = [
        path("", include(accounts)),
        path("favicon.ico", RedirectView.as_view(url=icon, permanent=False)),
        path("admin/", admin.site.urls),
        # People type this address.
        path("admin", RedirectView.as_view(pattern_name="admin:index")),
        path("swagger", views.SwaggerView.as_view(), name="swagger"),
        path("swagger/openapi.json", views.OpenAPIView.as_view()),
    ]
    root = settings.PAGES_PATH[1:]
    home = RedirectView.as_view(pattern_name="home")
    return [path(root, include(routes)), path(root.removesuffix("/"), home)]


urlpatterns = [
    *operations,
    path(CODER, include("users.urls")),
    path(CODER, include("tokens.urls")),
    path(OWN, include(tokens.urls.own)),
    *others,
    *pages("tokens.pages.urls"),
]

handler400 = "kernel.http.views.handlers.bad_request"
handler403 = "kernel.http.views.handlers.permission_denied"
handler404 = "kernel.http.views.handlers.page_not_found"
handler500 = "kernel.http.views.handlers.server_error"
