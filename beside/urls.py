"""The routes of users and tokens beside a Coder deployment, which has its own users and tokens.

`ACCOUNTS` has the pages: the account is a page of Coder's dashboard.
"""

from __future__ import annotations

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.urls import path, re_path
from django.views.decorators.csrf import csrf_exempt
from django.views.generic import RedirectView

from kernel.http.errors import APIError
from kernel.http.views.handlers import error_response
from tokens.urls import KEYS
from tokens.views import TokenConfigView


@csrf_exempt
def belongs_to_coder(request: HttpRequest) -> HttpResponse:
    detail = f"Send this request to the Coder deployment at {settings.ACCESS_URL}. It has the users"
    error = APIError(404, "Route not found.", detail=f"{detail} and their tokens.")
    return error_response(error)


urlpatterns = [
    path(f"{KEYS}/tokens/tokenconfig", TokenConfigView.as_view()),
    re_path(r"^(?:users|organizations|authcheck)(?:/.*)?$", belongs_to_coder),
]

ACCOUNT = f"{settings.ACCESS_URL.rstrip('/')}/settings/account"
ACCOUNTS = [
    path("", RedirectView.as_view(pattern_name="admin:index"), name="home"),
    path(
        "login", RedirectView.as_view(pattern_name="admin:login", query_string=True), name="login"
    ),
    path("account", RedirectView.as_view(url=ACCOUNT), name="account"),
]
