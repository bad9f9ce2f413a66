"""The whole surface on one screen."""

from __future__ import annotations

from django.contrib import admin
from django.urls import URLPattern, URLResolver, include, path
from django.views.generic import RedirectView

from coderapi import health, swagger
from coderapi.views import RootView

# What is asked most stands first in both lists: one after the other is tried.
api: list[URLPattern | URLResolver] = [
    path("/", include("csp.urls")),
    path("/", include("deployment.urls")),
    path("", RootView.as_view()),
    path("/", RootView.as_view()),
    path("/", include("experiments.urls")),
    path("/", include("users.urls")),
    path("/", include("tokens.urls")),
]

urlpatterns = [
    path("api/v2", include(api)),
    path("", RedirectView.as_view(url="/admin/", permanent=False)),
    path("favicon.ico", RedirectView.as_view(url="/static/coderapi/icon.svg", permanent=False)),
    path("healthz", health.healthz),
    path("livez", health.livez),
    path("readyz", health.readyz),
    path("admin/", admin.site.urls),
    path("swagger", swagger.SwaggerView.as_view()),
    path("swagger/openapi.json", swagger.OpenAPIView.as_view()),
]

handler400 = "coderapi.handlers.bad_request"
handler403 = "coderapi.handlers.permission_denied"
handler404 = "coderapi.handlers.page_not_found"
handler500 = "coderapi.handlers.server_error"
