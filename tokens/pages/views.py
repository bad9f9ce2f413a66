from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, Concatenate, cast

from django.conf import settings
from django.contrib import auth, messages
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.middleware.csrf import rotate_token
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from audit.services import Actor, actor_of
from kernel.http.errors import APIError, not_found
from kernel.http.identity import IdentifiedRequest, TokenSource
from kernel.http.rate_limit import bucket_of, count_or_refuse
from tokens import minting, policy, selectors, services, signin
from tokens.middleware import attach
from tokens.minting import Wanted
from tokens.pages.forms import NewTokenForm, PasswordForm, RefusableForm, RenameForm, SignInForm
from users import scopes
from users.models import User
from users.passwords import count_try
from users.permissions import KeyIdentity, require
from users.roles import AUDITOR, OWNER
from users.selectors import user_by_name
from users.services import change_own_password

# Nobody looks through more keys on one page; the newest stand first.
MAX_KEYS = 200
ADMIN_BACKEND = "users.backends.EmailOrUsernameBackend"


class PersonalRequest(HttpRequest):
    """A request by somebody who is signed in: `user` is the person, `identity` their session."""

    user: User
    identity: KeyIdentity


type Page[**P] = Callable[Concatenate[PersonalRequest, P], HttpResponse]
type View[**P] = Callable[Concatenate[HttpRequest, P], HttpResponse]


def signed_in[**P](*actions: str) -> Callable[[Page[P]], View[P]]:
    """Lets in whoever is signed in, if their key may do the actions; others sign in first.

    A refusal by a service becomes a page that shows it.
    """

    def decorate(page: Page[P]) -> View[P]:
        @wraps(page)
        def view(request: HttpRequest, /, *args: P.args, **more: P.kwargs) -> HttpResponse:
            identity = session_of(request)
            user = User.objects.filter(pk=identity.user_id).first() if identity else None
            if identity is None or user is None:
                return redirect_to_login(_address_after_login(request), reverse("login"))
            try:
                _require(identity, actions)
                _count(request, identity)
                request.user = user
                return page(cast("PersonalRequest", request), *args, **more)
            except APIError as error:
                return error_page(request, error)

        return never_cache(view)

    return decorate


def session_of(request: HttpRequest) -> KeyIdentity | None:
    """Returns whose session the request's cookie is of. A token in another place is no session."""
    identified = cast("IdentifiedRequest", request)
    attach(identified)
    presented = identified.presented
    if presented is None or presented.source is not TokenSource.COOKIE:
        return None
    return cast("KeyIdentity | None", identified.identity)


def _address_after_login(request: HttpRequest) -> str:
    return request.get_full_path() if request.method == "GET" else reverse("account")


def _require(identity: KeyIdentity, actions: tuple[str, ...]) -> None:
    if not all(scopes.allow(identity.scopes, action) for action in actions):
        raise not_found()


def _count(request: HttpRequest, identity: KeyIdentity) -> None:
    """Counts what a form asks for with the person's requests to the API."""
    limit = settings.API_RATE_LIMIT
    if limit is not None and request.method == "POST":
        bucket = bucket_of(identity, cast("IdentifiedRequest", request).client_address)
        count_or_refuse(bucket, limit=limit, of="requests")


def error_page(request: HttpRequest, error: APIError) -> HttpResponse:
    context = {"title": error.message, "error": error, **_about(request)}
    return _with_headers(render(request, "pages/error.html", context, status=error.status), error)


def _with_headers(response: HttpResponse, error: APIError | None) -> HttpResponse:
    for name, value in (error.headers if error else {}).items():
        response.headers[name] = value
    return response


def _status(error: APIError | None, *, is_refused: bool) -> int:
    return error.status if error else 400 if is_refused else 200


def _about(request: HttpRequest) -> dict[str, Any]:
    """Returns what every page's frame shows."""
    identity = getattr(request, "identity", None)
    may_enter = identity is not None and identity.has_role(OWNER, AUDITOR)
    return {"identity": identity, "may_enter_admin": may_enter, "site_title": "coderapi"}


def home(request: HttpRequest) -> HttpResponse:
    """Sends people without a right to the admin to their own page, and everybody else there."""
    identity = session_of(request)
    own = identity is not None and not identity.has_role(OWNER, AUDITOR)
    return redirect("account" if own else "admin:index")


@never_cache
@sensitive_post_parameters("password")
@require_http_methods(["GET", "HEAD", "POST"])
def login(request: HttpRequest) -> HttpResponse:
    after = _after_login(request)
    is_sent = request.method == "POST"
    if not is_sent and session_of(request) is not None:
        return HttpResponseRedirect(after)
    form, error = SignInForm(request.POST if is_sent else None), None
    if is_sent:
        try:
            count_try(cast("IdentifiedRequest", request).client_address)
            if form.is_valid():
                return _sign_in(request, form.cleaned_data, after=after)
        except APIError as refusal:
            form.full_clean()
            form.refuse(error := refusal)
    status = _status(error, is_refused=form.is_bound)
    off = settings.DISABLE_PASSWORD_AUTH
    context = {"title": "Sign in", "form": form, "next": after, "passwords_off": off}
    page = render(request, "pages/login.html", context | _about(request), status=status)
    return _with_headers(page, error)


def _after_login(request: HttpRequest) -> str:
    """Returns where the sign-in leads: an address on this very host, or the home page."""
    wanted = request.POST.get("next") or request.GET.get("next", "")
    is_ours = url_has_allowed_host_and_scheme(
        wanted, allowed_hosts={request.get_host()}, require_https=request.is_secure()
    )
    return wanted if is_ours else "/"


def _sign_in(request: HttpRequest, entered: dict[str, str], *, after: str) -> HttpResponse:
    address, now = cast("IdentifiedRequest", request).client_address, timezone.now()
    before = session_of(request)
    new = signin.sign_in(
        user_by_name(entered["name"]), entered["password"], address=address, now=now
    )
    user = new.key.user
    # Whoever used this browser before is signed out of it, and of the admin too.
    request.session.flush()
    if before is not None and not before.minted:
        actor = Actor(before.user_id, before.username, address)
        signin.sign_out(before.key_id, actor=actor, now=now)
    if user.is_staff:
        auth.login(request, user, backend=ADMIN_BACKEND)
        request.session[signin.SESSION_ENTRY] = new.key.id
    response = HttpResponseRedirect(after)
    signin.give_cookie(response, new.token)
    # Whoever planted a CSRF cookie before the sign-in must not know the one after it.
    rotate_token(request)
    return response


@require_http_methods(["GET", "HEAD", "POST"])
@signed_in()
def logout(request: PersonalRequest) -> HttpResponse:
    if request.method != "POST":
        context = {"title": "Sign out", **_about(request)}
        return render(request, "pages/logout.html", context)
    signin.sign_out(request.identity.key_id, actor=actor_of(request), now=timezone.now())
    request.session.flush()
    response = redirect("login")
    signin.take_cookie(response)
    return response


@require_http_methods(["GET", "HEAD", "POST"])
@signed_in("api_key:create")
def cli_auth(request: PersonalRequest) -> HttpResponse:
    """Makes the session token that `coder login` and the editors' plug-ins ask to be pasted."""
    if request.method != "POST":
        context = {"title": "A token for the command line", **_about(request)}
        return render(request, "pages/cli_auth.html", context)
    new = minting.create_session_key(
        request.user, caller=request.identity, actor=actor_of(request), now=timezone.now()
    )
    return _token_page(request, new)


def _token_page(request: PersonalRequest, new: services.NewKey) -> HttpResponse:
    context = {"title": "Your token", "new": new, **_about(request)}
    return render(request, "pages/token.html", context)


@require_safe
@signed_in("api_key:read")
def account(request: PersonalRequest) -> HttpResponse:
    return _account_page(request)


def _account_page(
    request: PersonalRequest,
    *,
    new_token: RefusableForm | None = None,
    password: RefusableForm | None = None,
    error: APIError | None = None,
) -> HttpResponse:
    context = {
        "title": "Your account",
        "keys": selectors.own_keys(request.identity, now=timezone.now())[:MAX_KEYS],
        "max_keys": MAX_KEYS,
        "limits": policy.limits_for_people(request.user),
        "new_token": new_token or NewTokenForm(),
        "password": password or PasswordForm(),
        **_about(request),
    }
    status = _status(error, is_refused=bool(new_token or password))
    return render(request, "pages/account.html", context, status=status)


@require_POST
@signed_in("api_key:create", "api_key:read")
def create_token(request: PersonalRequest) -> HttpResponse:
    form, error = NewTokenForm(request.POST), None
    if form.is_valid():
        entered = form.cleaned_data
        wanted = Wanted(
            lifetime_ns=entered["lifetime"] or 0,
            token_name=entered["token_name"],
            scopes=tuple(entered["scopes"]),
        )
        actor, now = actor_of(request), timezone.now()
        try:
            new = minting.create_token(
                request.user, wanted, caller=request.identity, actor=actor, now=now
            )
            return _token_page(request, new)
        except APIError as refusal:
            form.refuse(error := refusal)
    return _account_page(request, new_token=form, error=error)


@require_http_methods(["GET", "HEAD", "POST"])
@signed_in("api_key:read", "api_key:update")
def rename_token(request: PersonalRequest, key_id: str) -> HttpResponse:
    now, error = timezone.now(), None
    token = selectors.own_token(key_id, viewer=request.identity, now=now)
    entered = request.POST if request.method == "POST" else None
    form = RenameForm(entered, initial={"token_name": token.token_name})
    if form.is_valid():
        name = form.cleaned_data["token_name"]
        try:
            services.rename_token(token, name, actor=actor_of(request), now=now)
            messages.success(request, f"The token {token.token_name} is now called {name}.")
            return redirect("account")
        except APIError as refusal:
            form.refuse(error := refusal)
    context = {"title": "Rename a token", "token": token, "form": form}
    status = _status(error, is_refused=form.is_bound)
    return render(request, "pages/rename.html", context | _about(request), status=status)


@require_POST
@signed_in("api_key:update")
def expire_token(request: PersonalRequest, key_id: str) -> HttpResponse:
    key = selectors.key_by_id(key_id, action="api_key:update", viewer=request.identity)
    services.expire_keys([key], actor=actor_of(request), now=timezone.now())
    what = f"The token {key.token_name}" if key.token_name else "The session"
    messages.success(request, f"{what} can no longer be used.")
    return redirect("account")


@sensitive_post_parameters("old_password", "password")
@require_POST
@signed_in("user:update_personal", "api_key:read")
def change_password(request: PersonalRequest) -> HttpResponse:
    require(request.identity, "user:update_personal", on=request.user)
    form, error = PasswordForm(request.POST), None
    if form.is_valid():
        try:
            change_own_password(
                request.user,
                form.cleaned_data["password"],
                old_password=form.cleaned_data["old_password"],
                actor=actor_of(request),
                now=timezone.now(),
                key_id=request.identity.key_id,
            )
            if auth.SESSION_KEY in request.session:
                auth.update_session_auth_hash(request, request.user)
            messages.success(request, "Your password is changed. Your other sessions have ended.")
            return redirect("account")
        except APIError as refusal:
            form.refuse(error := refusal)
    return _account_page(request, password=form, error=error)
