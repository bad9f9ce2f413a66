"""The whole surface on one screen."""

from __future__ import annotations

from django.contrib import admin
from django.urls import URLPattern, URLResolver, include, path
from django.views.generic import RedirectView

from coderapi import health, swagger
from kernel.http.views import RootView

# One after the other is tried, so that what is asked most stands first.
urlpatterns: list[URLPattern | URLResolver] = [
    path("api/v2/", include("csp.urls")),
    path("api/v2/", include("deployment.urls")),
    path("api/v2/", include("stats.urls")),
    path("api/v2/", include("experiments.urls")),
    path("api/v2/", include("users.urls")),
    path("api/v2/", include("tokens.urls")),
    path("api/v2", RootView.as_view()),
    path("api/v2/", RootView.as_view()),
    path("", include("tokens.pages.urls")),
    path("favicon.ico", RedirectView.as_view(url="/static/coderapi/icon.svg", permanent=False)),
    path("healthz", health.healthz),
    path("latency-check", health.latency_check),
    path("livez", health.livez),
    path("readyz", health.readyz),
    path("admin/", admin.site.urls),
    path("swagger", swagger.SwaggerView.as_view(), name="swagger"),
    path("swagger/openapi.json", swagger.OpenAPIView.as_view()),
]

handler400 = "kernel.http.handlers.bad_request"
handler403 = "kernel.http.handlers.permission_denied"
handler404 = "kernel.http.handlers.page_not_found"
handler500 = "kernel.http.handlers.server_error"
