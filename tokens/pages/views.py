from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial, wraps
from typing import Any, Concatenate, cast

from django.conf import settings
from django.contrib import admin, auth, messages
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.middleware.csrf import rotate_token
from django.shortcuts import redirect
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods

from audit.services import actor_of
from kernel.http.errors import APIError, limit_reached, not_found
from kernel.http.results import results_of
from kernel.http.steps.rate_limit import bucket_of, check, shared_counter
from kernel.limiter import LimitReachedError
from tokens import minting, selectors, services, signin
from tokens.minting import WantedToken
from tokens.models import APIKey
from tokens.pages.forms import NewTokenForm, PasswordForm, RenameForm, ServiceForm, SignInForm
from tokens.policy import resolution
from tokens.signin import session_of
from users import scopes
from users.models import User
from users.permissions import KeyIdentity, identity_of, require
from users.roles import ADMIN_ROLES
from users.services import change_own_password

MAX_KEYS = 200
READ = ("GET", "HEAD")
FORM = (*READ, "POST")
# The errors that pages show: errors of a service, and too many sign-ins at once.
SHOWN = (APIError, LimitReachedError)


class SignedInRequest(HttpRequest):
    """A request of a signed-in user."""

    user: User


type Page[**P] = Callable[Concatenate[SignedInRequest, P], HttpResponse]
type View[**P] = Callable[Concatenate[HttpRequest, P], HttpResponse]


def signed_in[**P](*actions: str, methods: Sequence[str] = FORM) -> Callable[[Page[P]], View[P]]:
    """Decorates a view that requires a session with scopes for these actions.

    Without a session, redirects to the sign-in page. If the view raises an error of `SHOWN`, the
    response is an error page.
    """

    def decorate(page: Page[P]) -> View[P]:
        @require_http_methods(methods)
        @never_cache
        @wraps(page)
        def view(request: HttpRequest, /, *args: P.args, **more: P.kwargs) -> HttpResponse:
            identity = session_of(request)
            user = User.objects.filter(pk=identity.user_id).first() if identity else None
            if identity is None or user is None:
                target = request.get_full_path() if request.method == "GET" else reverse("account")
                return redirect_to_login(target, reverse("login"))
            try:
                if not all(scopes.allow(identity.scopes, action) for action in actions):
                    raise not_found()
                _count(request, identity)
                request.user = user
                return page(cast("SignedInRequest", request), *args, **more)
            except SHOWN as error:
                return error_page(request, _api_error(error))

        return view

    return decorate


def _count(request: HttpRequest, identity: KeyIdentity) -> None:
    """Counts a submitted form against the user's rate limit for API requests."""
    limit = settings.API_RATE_LIMIT
    if limit is not None and request.method == "POST":
        bucket = bucket_of(identity, results_of(request).address)
        check(shared_counter(), bucket, limit=limit, now=time.time())


def _api_error(error: APIError | LimitReachedError) -> APIError:
    return error if isinstance(error, APIError) else limit_reached(error)


def error_page(request: HttpRequest, error: APIError, *, home: str = "") -> HttpResponse:
    """Renders an error with a link to our home page, or to the URL `home`."""
    context = {"title": error.message, "error": error, "home": home or reverse("home")}
    return _page(request, "error", context)


def _page(
    request: HttpRequest, name: str, context: dict[str, Any], form: ServiceForm | None = None
) -> HttpResponse:
    """Renders a template of `templates/pages`.

    The response has the status of the `error` in the context, or of the error in the form.
    """
    identity = results_of(request).caller.identity
    frame = {
        "identity": identity,
        "may_enter_admin": identity is not None and identity.has_role(*ADMIN_ROLES),
        "site_title": "coderapi",
    }
    error: APIError | None = context.get("error") or (form.error if form else None)
    status = error.status if error else 400 if form and form.is_bound else 200
    page = render_to_string(f"pages/{name}.html", context | frame, request)
    return HttpResponse(page, status=status, headers=dict(error.headers) if error else None)


def _submit(
    form: ServiceForm, action: Callable[[dict[str, Any]], HttpResponse]
) -> HttpResponse | None:
    """Runs the action with the form's values, and returns its response.

    Returns None for an invalid form or an error of the action. Then the form contains the errors.
    """
    try:
        return action(form.cleaned_data) if form.is_valid() else None
    except SHOWN as error:
        form.refuse(_api_error(error))
        return None


# --- Signing in and out -----------------------------------------------------------------------


def home(request: HttpRequest) -> HttpResponse:
    """Redirects to the sign-in page, the admin, or the account of users without admin access."""
    identity = session_of(request)
    if identity is None:
        return redirect("login")
    return redirect("admin:index" if identity.has_role(*ADMIN_ROLES) else "account")


@never_cache
@sensitive_post_parameters("password")
@require_http_methods(FORM)
def login(request: HttpRequest) -> HttpResponse:
    target = _target(request)
    if request.method != "POST" and _opens(request, target):
        return HttpResponseRedirect(target)
    form = SignInForm(request.POST if request.method == "POST" else None)
    passwords_off = settings.DISABLE_PASSWORD_AUTH
    context = {"title": "Sign in", "form": form, "next": target, "passwords_off": passwords_off}
    response = _submit(form, partial(_sign_in, request, target))
    return response or _page(request, "login", context, form)


def _target(request: HttpRequest) -> str:
    """Returns the path to open after the sign-in, by default the home page."""
    wanted = request.POST.get("next") or request.GET.get("next", "")
    return wanted if signin.is_own_page(wanted) else reverse("home")


def _opens(request: HttpRequest, target: str) -> bool:
    """Returns whether the browser can open the target without another sign-in.

    The admin also needs a Django session. A sign-in through the API does not create this session.
    """
    identity = session_of(request)
    if identity is None:
        return False
    is_admin_page = target.startswith(reverse("admin:index")) and identity.has_role(*ADMIN_ROLES)
    return not is_admin_page or admin.site.has_permission(request)


def _sign_in(request: HttpRequest, target: str, entered: dict[str, str]) -> HttpResponse:
    new = signin.sign_in(request, entered["name"], entered["password"], by="page")
    max_age = None
    if new.key.user.is_staff:
        auth.login(request, new.key.user)
        request.session[signin.SESSION_ENTRY] = new.key.id
        max_age = settings.SESSION_COOKIE_AGE
    response = HttpResponseRedirect(target)
    signin.set_cookie(response, new.token, max_age=max_age)
    # An attacker may have set a CSRF cookie before the sign-in. Replace the cookie, so that the old
    # value is not valid afterwards.
    rotate_token(request)
    return response


@signed_in()
def logout(request: SignedInRequest) -> HttpResponse:
    if request.method != "POST":
        return _page(request, "logout", {"title": "Sign out"})
    signin.end_browser_session(request, now=timezone.now(), by="page")
    response = redirect("login")
    signin.delete_cookie(response)
    return response


# --- Tokens and the account -------------------------------------------------------------------


@signed_in("api_key:create")
def cli_auth(request: SignedInRequest) -> HttpResponse:
    """Creates a session token for the user to paste into `coder login` or an editor plug-in."""
    if request.method != "POST":
        return _page(request, "cli_auth", {"title": "A token for the command line"})
    return _create_key(request, WantedToken())


def _create_key(request: SignedInRequest, wanted: WantedToken) -> HttpResponse:
    """Creates a key for the user, and shows its token."""
    caller, actor, now = identity_of(request), actor_of(request), timezone.now()
    new = minting.create_key(request.user, wanted, caller=caller, actor=actor, now=now)
    return _page(request, "token", {"title": "Your token", "new": new})


@signed_in("api_key:read", methods=READ)
def account(request: SignedInRequest) -> HttpResponse:
    return _account_page(request)


def _account_page(request: SignedInRequest, form: ServiceForm | None = None) -> HttpResponse:
    """Renders the account page. Shows a rejected `form` with its errors."""
    context = {
        "title": "Your account",
        "keys": selectors.own_keys(identity_of(request), now=timezone.now())[:MAX_KEYS],
        "max_keys": MAX_KEYS,
        "limits": resolution.policy_of(request.user).values(),
        "new_token": form if isinstance(form, NewTokenForm) else NewTokenForm(),
        "password": form if isinstance(form, PasswordForm) else PasswordForm(),
    }
    return _page(request, "account", context, form)


@signed_in("api_key:create", "api_key:read", methods=["POST"])
def create_token(request: SignedInRequest) -> HttpResponse:
    form = NewTokenForm(request.POST)
    response = _submit(form, lambda entered: _create_key(request, WantedToken(**entered)))
    return response or _account_page(request, form)


@signed_in("api_key:read", "api_key:update")
def rename_token(request: SignedInRequest, key_id: str) -> HttpResponse:
    now = timezone.now()
    token = selectors.own_token(key_id, viewer=identity_of(request), now=now)

    def rename(entered: dict[str, Any]) -> HttpResponse:
        name = entered["token_name"]
        services.rename_token(token, name, actor=actor_of(request), now=now)
        messages.success(request, f"The token {token.token_name} is now called {name}.")
        return redirect("account")

    entered = request.POST if request.method == "POST" else None
    form = RenameForm(entered, initial={"token_name": token.token_name})
    context = {"title": "Rename a token", "token": token, "form": form}
    return _submit(form, rename) or _page(request, "rename", context, form)


@signed_in("api_key:update")
def revoke_key(request: SignedInRequest, key_id: str) -> HttpResponse:
    """Shows a confirmation page, and then revokes a token or a session."""
    key = selectors.key_by_id(key_id, action="api_key:update", viewer=identity_of(request))
    if request.method != "POST":
        title = f"Revoke {_label(key)}?"
        return _page(request, "revoke", {"title": title, "key": key, "label": _label(key)})
    services.expire_keys([key], actor=actor_of(request), now=timezone.now())
    messages.success(request, f"You have revoked {_label(key)}.")
    return redirect("account")


def _label(key: APIKey) -> str:
    return f"the token {key.token_name}" if key.token_name else f"the session {key.pk}"


@sensitive_post_parameters("old_password", "password")
@signed_in("user:update_personal", "api_key:read", methods=["POST"])
def change_password(request: SignedInRequest) -> HttpResponse:
    require(identity_of(request), "user:update_personal", on=request.user)

    def change(entered: dict[str, Any]) -> HttpResponse:
        by: dict[str, Any] = {"actor": actor_of(request), "key_id": identity_of(request).key_id}
        change_own_password(request.user, **entered, **by, now=timezone.now())
        if auth.SESSION_KEY in request.session:
            auth.update_session_auth_hash(request, request.user)
        messages.success(request, "Your password was changed. Your other sessions have ended.")
        return redirect("account")

    form = PasswordForm(request.POST)
    return _submit(form, change) or _account_page(request, form)
