"""The admin's site: who signs in there holds a session token too, and its home shows the state."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib.admin import AdminSite
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone

from coderapi import admin_session
from coderapi.admin_forms import SignInForm
from kernel.admin_cards import cards


class ServiceAdminSite(AdminSite):
    site_header = "coderapi"
    site_title = "coderapi"
    index_title = "Home"
    site_url = None
    # Lists of addresses need the width; the home page leads everywhere.
    enable_nav_sidebar = False
    login_form = SignInForm

    def index(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> TemplateResponse:
        context = {"cards": cards(timezone.now()), "build_version": settings.BUILD_VERSION}
        return super().index(request, {**context, **(extra_context or {})})

    def login(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        before = admin_session.key_id(request)
        response = super().login(request, extra_context)
        if request.method == "POST" and response.status_code == 302:
            now = timezone.now()
            admin_session.end(before, request=request, now=now)
            admin_session.begin(request, response, now=now)
        return response

    def logout(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> TemplateResponse:
        before, user = admin_session.key_id(request), request.user
        response = super().logout(request, extra_context)
        if request.method == "POST":
            request.user = user
            admin_session.end(before, request=request, now=timezone.now())
            admin_session.forget(response)
        return response
