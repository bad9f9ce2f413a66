"""Opens the admin to users of the Coder deployment with a role, without another sign-in.

A browser sends the session cookie of Coder's dashboard to every path of the host. The user of a
page is the user of this cookie. So no session of the admin can outlive the session in Coder.
"""

from __future__ import annotations

from functools import partial
from http import HTTPStatus
from urllib.parse import quote

from django.conf import settings
from django.contrib.auth.middleware import AuthenticationMiddleware
from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect
from django.utils.functional import SimpleLazyObject

from kernel.http import CODER_API
from kernel.http.errors import APIError
from kernel.http.results import results_of
from kernel.release import PROGRAM
from tokens.pages.views import error_page
from tokens.signin import session_of
from users import scopes
from users.models import User

NOT_ACCEPTED = APIError(
    401,
    "You are not signed in.",
    detail="Coder does not accept the session cookie that your browser sent. An operator can find "
    f"the cause with `{PROGRAM} check_coder`.",
)


class CoderAuthenticationMiddleware(AuthenticationMiddleware):
    """Sets the user of a page to the user of the session cookie."""

    def process_request(self, request: HttpRequest) -> None:
        request.user = SimpleLazyObject(partial(_user_of_page, request))  # type: ignore[assignment]


def _user_of_page(request: HttpRequest) -> User | AnonymousUser:
    """Returns the user of the session cookie, or no user if its token has limited scopes."""
    identity = session_of(request)
    # If the request had an identity, the pages would link to its account.
    results = results_of(request)
    results.caller = results.caller._replace(identity=None)
    if identity is None or not scopes.allow(identity.scopes, scopes.ALL):
        return AnonymousUser()
    user = User.objects.filter(pk=identity.user_id, source=User.Source.CODER).first()
    if user is None:
        return AnonymousUser()
    # The roles that Coder grants to this token.
    user.roles = sorted(identity.roles)
    return user


def sign_in(request: HttpRequest, target: str) -> HttpResponse:
    """Redirects to Coder's sign-in page, from which the browser returns to `target`.

    If the user is signed in, the response is an error, or a redirect to the home page.
    """
    user = request.user
    if user.is_authenticated and user.is_staff:
        return redirect("admin:index")
    if user.is_authenticated:
        detail = (
            "The admin is for owners, auditors and user admins. "
            f"You are signed in to Coder as {user}."
        )
        error = APIError(403, "You cannot open the admin.", detail=detail)
        # Our home page would show the same error.
        return error_page(request, error, home=settings.ACCESS_URL)
    if refusal := _refusal(request):
        return error_page(request, refusal)
    # Only for a path of the API, Coder's sign-in page loads the next page from the server. For
    # another path, it looks for a page of the dashboard. `come_back` redirects to the target.
    path = quote(f"{CODER_API}{target}")
    return HttpResponseRedirect(f"{settings.ACCESS_URL.rstrip('/')}/login?redirect={path}")


def come_back(request: HttpRequest) -> HttpResponse:
    """Redirects from a path of the API to the page of the admin.

    Without a session, the response is an error, because Coder's sign-in page would send the browser
    back at once.
    """
    if _user_of_page(request).is_authenticated:
        return HttpResponseRedirect(request.get_full_path().removeprefix(CODER_API))
    return error_page(request, _refusal(request) or NOT_ACCEPTED)


def _refusal(request: HttpRequest) -> APIError | None:
    """Returns the error if the session could not be checked."""
    refusal = results_of(request).caller.refusal
    return refusal if refusal is not None and refusal.status != HTTPStatus.UNAUTHORIZED else None
