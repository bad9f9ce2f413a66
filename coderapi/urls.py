"""The URL configuration with all routes of the service."""

from __future__ import annotations

from django.contrib import admin
from django.urls import URLPattern, URLResolver, include, path
from django.views.generic import RedirectView

from coderapi import views
from kernel.http.views import RootView

# Paths with a missing or an extra slash at the end, and the routes to which they redirect.
MISSPELT = {"admin": "admin:index", "login/": "login", "account/": "account", "swagger/": "swagger"}

# Django tries the routes in this order, so the most frequent routes come first.
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
    path("healthz", views.healthz),
    path("latency-check", views.latency_check),
    path("livez", views.livez),
    path("readyz", views.readyz),
    path("admin/", admin.site.urls),
    *(
        path(old, RedirectView.as_view(pattern_name=name, query_string=True))
        for old, name in MISSPELT.items()
    ),
    path("swagger", views.SwaggerView.as_view(), name="swagger"),
    path("swagger/openapi.json", views.OpenAPIView.as_view()),
]

handler400 = "kernel.http.handlers.bad_request"
handler403 = "kernel.http.handlers.permission_denied"
handler404 = "kernel.http.handlers.page_not_found"
handler500 = "kernel.http.handlers.server_error"
