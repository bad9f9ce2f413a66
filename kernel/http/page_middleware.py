"""Middlewares that step aside where they have nothing to do, which is on most requests.

The API has neither sessions nor messages nor frames, and answers many more requests than the pages
do: walking through these cost a third of its time.
"""

from __future__ import annotations

from typing import cast

from corsheaders.middleware import CorsMiddleware
from django.conf import settings
from django.contrib.auth.middleware import AuthenticationMiddleware
from django.contrib.messages.middleware import MessageMiddleware
from django.contrib.sessions.middleware import SessionMiddleware
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.middleware.clickjacking import XFrameOptionsMiddleware

from kernel.http.for_pages import ForPages


class PageSessionMiddleware(ForPages, SessionMiddleware):
    """Sessions of the admin."""


class PageAuthenticationMiddleware(ForPages, AuthenticationMiddleware):
    """Who is signed in to the admin."""


class PageMessageMiddleware(ForPages, MessageMiddleware):
    """What the admin has to say on the next page."""


class PageXFrameOptionsMiddleware(ForPages, XFrameOptionsMiddleware):
    """No page may be framed."""


class OriginCorsMiddleware(CorsMiddleware):
    """Answers to other origins. A request that names no origin is none of a page's."""

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if "HTTP_ORIGIN" in request.META or settings.CORS_ALLOW_ALL_ORIGINS:
            return cast("HttpResponseBase", super().__call__(request))
        return cast("HttpResponseBase", self.get_response(request))
