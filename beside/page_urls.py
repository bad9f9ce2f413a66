"""The pages of accounts beside a Coder deployment: they are pages of Coder's dashboard."""

from __future__ import annotations

from django.conf import settings
from django.urls import path
from django.views.generic import RedirectView

ACCOUNT = f"{settings.ACCESS_URL.rstrip('/')}/settings/account"

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="admin:index"), name="home"),
    path(
        "login", RedirectView.as_view(pattern_name="admin:login", query_string=True), name="login"
    ),
    path("account", RedirectView.as_view(url=ACCOUNT), name="account"),
]
