"""The admin's site: signing in there, and its home page.

Whoever signs in gets a session token too, in Coder's cookie. It makes their browser's calls to the
API theirs, such as the reports of our own content policy.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, cast

from django.conf import settings
from django.contrib.admin import AdminSite
from django.contrib.admin.forms import AdminAuthenticationForm
from django.contrib.auth.base_user import AbstractBaseUser
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils import timezone

from audit.services import actor_of
from coderapi.first_steps import DISMISSED_COOKIE, Step, first_steps
from kernel.admin import bounded_search, cards
from kernel.http.errors import APIError
from kernel.http.identity import IdentifiedRequest
from tokens import signin
from tokens.models import APIKey
from tokens.services import create_api_key, delete_keys
from users.models import User
from users.passwords import count_try
from users.roles import OWNER

# --- The form ---------------------------------------------------------------------------------


class SignInForm(AdminAuthenticationForm):
    """The form for name and password; while passwords are off, only owners may enter."""

    error_messages = {
        **AdminAuthenticationForm.error_messages,
        "invalid_login": "The name or the password is wrong, or the account may not enter here.",
        "passwords_off": "Signing in with a password is switched off for everybody but owners.",
    }

    def __init__(self, request: HttpRequest | None = None, *args: Any, **kwargs: Any) -> None:
        super().__init__(request, *args, **kwargs)
        self.fields["username"].label = "Username or e-mail address"

    def clean(self) -> dict[str, Any]:
        """Counts the try with those of the API, and refuses one too many."""
        try:
            count_try(cast("IdentifiedRequest", self.request).client_address)
        except APIError as error:
            raise ValidationError(error.detail, code="too_many") from None
        return super().clean()

    def confirm_login_allowed(self, user: AbstractBaseUser) -> None:
        super().confirm_login_allowed(cast("Any", user))
        if settings.DISABLE_PASSWORD_AUTH and OWNER not in cast("User", user).roles:
            raise ValidationError(self.error_messages["passwords_off"], code="passwords_off")


# --- The session token ------------------------------------------------------------------------


def key_id(request: HttpRequest) -> str:
    """Returns the id of the key made at this browser's sign-in, or ""."""
    return str(request.session.get(signin.SESSION_ENTRY, ""))


def is_alive(request: HttpRequest, *, now: datetime) -> bool:
    """Tells if the key of this browser's sign-in still counts; without it the session has ended."""
    key = key_id(request)
    return not key or APIKey.objects.live(now).filter(id=key).exists()


def begin_session(request: HttpRequest, response: HttpResponse, *, now: datetime) -> None:
    """Makes a key for who has just signed in, and gives the browser its token in a cookie."""
    user = cast("User", request.user)
    new = create_api_key(
        user, lifetime_ns=settings.SESSION_DURATION_NS, now=now, actor=actor_of(request)
    )
    request.session[signin.SESSION_ENTRY] = new.key.id
    signin.give_cookie(response, new.token, max_age=settings.SESSION_COOKIE_AGE)


def end_session(key: str, *, request: HttpRequest, now: datetime) -> None:
    """Deletes a key that a sign-in made; one that is gone already is no mistake."""
    delete_keys(APIKey.objects.filter(id=key), actor=actor_of(request), now=now)


# --- The site ---------------------------------------------------------------------------------


def _steps_for(request: HttpRequest) -> list[Step]:
    """Returns the first steps for an owner, until all are done or the browser dismissed them."""
    if DISMISSED_COOKIE in request.COOKIES or OWNER not in cast("User", request.user).roles:
        return []
    steps = first_steps()
    return [] if all(step.done for step in steps) else steps


class ServiceAdminSite(AdminSite):
    site_header = "coderapi"
    site_title = "coderapi"
    index_title = "Home"
    site_url = None
    # Lists of addresses need the width; the home page leads everywhere.
    enable_nav_sidebar = False
    login_form = SignInForm

    def has_permission(self, request: HttpRequest) -> bool:
        """Lets in whom Django lets in, until the key of their sign-in is gone."""
        return super().has_permission(request) and is_alive(request, now=timezone.now())

    def each_context(self, request: HttpRequest) -> dict[str, Any]:
        swagger = reverse("swagger") if settings.SWAGGER_ENABLE else ""
        charts = reverse("admin:stats_snapshot_timelines")
        return {**super().each_context(request), "swagger": swagger, "charts": charts}

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
        context = {
            "cards": cards(timezone.now()),
            "build_version": settings.BUILD_VERSION,
            "first_steps": _steps_for(request),
        }
        return super().index(request, {**context, **(extra_context or {})})

    def autocomplete_view(self, request: HttpRequest) -> HttpResponse:
        with bounded_search(request):
            return super().autocomplete_view(request)

    def login(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        before = key_id(request)
        response = super().login(request, extra_context)
        if request.method == "POST" and response.status_code == 302:
            now = timezone.now()
            end_session(before, request=request, now=now)
            begin_session(request, response, now=now)
        return response

    def password_change(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> Any:
        """Redirects to the account page, which changes the password."""
        return HttpResponseRedirect(f"{reverse('account')}#password")

    def logout(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> TemplateResponse:
        before, user = key_id(request), request.user
        response = super().logout(request, extra_context)
        if request.method == "POST":
            request.user = user
            end_session(before, request=request, now=timezone.now())
            signin.take_cookie(response)
        return response
