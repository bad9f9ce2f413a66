"""The admin site: its home page and its sessions.

The sign-in page starts a session of the admin and sets the session cookie of the API. With this
cookie, API requests of the browser are authenticated as the user. For example, the browser sends
such a request to report a violation of our own Content-Security-Policy. If Coder knows the users,
the session of Coder's dashboard is used instead (`beside.admin_access`).
"""

from __future__ import annotations

from typing import Any, cast

from django.conf import settings
from django.contrib import messages
from django.contrib.admin import AdminSite
from django.contrib.auth import REDIRECT_FIELD_NAME
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.views.decorators.http import require_POST

from beside import admin_access
from coderapi.pages.first_steps import DISMISSED_COOKIE, Step, first_steps
from kernel.admin import bounded_search, cards
from tokens import signin
from tokens.models import APIKey
from users.models import User
from users.roles import ADMIN_ROLES, OWNER


def _steps_for(request: HttpRequest) -> list[Step]:
    """Returns the first steps to show.

    They are shown to owners until all steps are done or the user dismisses them in this browser.
    """
    if DISMISSED_COOKIE in request.COOKIES or OWNER not in cast("User", request.user).roles:
        return []
    steps = first_steps()
    return [] if all(step.done for step in steps) else steps


class ServiceAdminSite(AdminSite):
    site_header = "coderapi"
    site_title = "coderapi"
    index_title = "Home"
    site_url = None
    # The sidebar would take space that tables need. The home page links to all pages.
    enable_nav_sidebar = False

    def has_permission(self, request: HttpRequest) -> bool:
        """Returns whether Django allows access and the session is still valid.

        A session is invalid if the API key that was created at the sign-in has expired or was
        revoked. If Coder knows the users, the admin does not have its own sessions.
        """
        if not super().has_permission(request):
            return False
        key = request.session.get(signin.SESSION_ENTRY) if settings.USER_SOURCE == "own" else None
        return not key or APIKey.objects.live(timezone.now()).filter(id=key).exists()

    def each_context(self, request: HttpRequest) -> dict[str, Any]:
        swagger = reverse("swagger") if settings.SWAGGER_ENABLE else ""
        sees_charts = request.user.has_module_perms("stats")
        charts = reverse("admin:stats_snapshot_timelines") if sees_charts else ""
        signs_in_with_coder = settings.USER_SOURCE == "coder"
        own = {"swagger": swagger, "charts": charts, "users_are_coders": signs_in_with_coder}
        return super().each_context(request) | own

    def get_urls(self) -> list[Any]:
        dismiss = self.admin_view(self.dismiss_first_steps)
        own = path("first-steps/dismiss/", dismiss, name="dismiss_first_steps")
        return [own, *super().get_urls()]

    def dismiss_first_steps(self, request: HttpRequest) -> HttpResponse:
        """Hides the first steps in this browser."""
        response = HttpResponseRedirect(reverse("admin:index"))
        if request.method == "POST":
            response.set_cookie(
                DISMISSED_COOKIE,
                "dismissed",
                max_age=10 * 366 * 86_400,
                path=response.url,
                httponly=True,
                secure=settings.SECURE_COOKIES,
                samesite=settings.SAMESITE,
            )
        return response

    def index(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> TemplateResponse:
        context = {"cards": cards(request.user, timezone.now()), "first_steps": _steps_for(request)}
        return super().index(request, {**context, **(extra_context or {})})

    def app_index(
        self, request: HttpRequest, app_label: str, extra_context: dict[str, Any] | None = None
    ) -> TemplateResponse:
        # Otherwise Django responds that the page does not exist.
        apps = self.get_app_list(request, app_label)
        if not apps:
            raise PermissionDenied
        # Not "Alerts administration".
        context = {"title": apps[0]["name"], **(extra_context or {})}
        return super().app_index(request, app_label, context)

    def autocomplete_view(self, request: HttpRequest) -> HttpResponse:
        with bounded_search(request):
            return super().autocomplete_view(request)

    def login(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Redirects to the sign-in page.

        A signed-in user who may not use the admin is redirected to the account page.
        """
        target = request.GET.get(REDIRECT_FIELD_NAME, "")
        target = target if signin.is_own_page(target) else reverse("admin:index")
        if settings.USER_SOURCE == "coder":
            return admin_access.sign_in(request, target)
        identity = signin.session_of(request)
        if identity is not None and not identity.has_role(*ADMIN_ROLES):
            name = identity.username
            text = (
                f"The admin is for owners, auditors and user admins. You are signed in as {name}."
            )
            messages.warning(request, text)
            return redirect("account")
        return redirect_to_login(target, reverse("login"))

    def password_change(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> Any:
        """Redirects to the account page, where users change their password."""
        return HttpResponseRedirect(f"{reverse('account')}#password")

    @method_decorator(require_POST)
    def logout(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        if settings.USER_SOURCE == "coder":
            return redirect("account")
        signin.end_browser_session(request, now=timezone.now(), by="page")
        response = redirect("login")
        signin.delete_cookie(response)
        return response
