"""HTML pages alone need these: sessions, messages, CSRF tokens, frames, and static files.

The API has none of them and answers many more requests than the pages do. Walking through these
middlewares cost a third of its time, so they step aside for it.
"""

from __future__ import annotations

from io import BytesIO
from typing import Any, cast

from corsheaders.middleware import CorsMiddleware
from django.conf import settings
from django.contrib.auth.middleware import AuthenticationMiddleware
from django.contrib.messages.middleware import MessageMiddleware
from django.contrib.sessions.middleware import SessionMiddleware
from django.contrib.staticfiles.finders import AppDirectoriesFinder
from django.contrib.staticfiles.storage import StaticFilesStorage
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.middleware.clickjacking import XFrameOptionsMiddleware
from django.middleware.csrf import CsrfViewMiddleware
from whitenoise.middleware import WhiteNoiseMiddleware  # type: ignore[import-untyped]
from whitenoise.storage import (  # type: ignore[import-untyped]
    CompressedManifestStaticFilesStorage,
)

from kernel.http.content_policy import ForPages


class PageSessionMiddleware(ForPages, SessionMiddleware):
    """Keeps sessions of the admin."""


class PageCsrfMiddleware(ForPages, CsrfViewMiddleware):
    """Checks the CSRF token of forms. Writes to the API have a rule without one."""


class PageAuthenticationMiddleware(ForPages, AuthenticationMiddleware):
    """Attaches the user who is signed in to the admin."""


class PageMessageMiddleware(ForPages, MessageMiddleware):
    """Keeps what the admin has to say on the next page."""


class PageXFrameOptionsMiddleware(ForPages, XFrameOptionsMiddleware):
    """Forbids framing a page."""


class OriginCorsMiddleware(CorsMiddleware):
    """Lets other origins read answers. A request that names no origin is no page's."""

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if "HTTP_ORIGIN" in request.META or settings.CORS_ALLOW_ALL_ORIGINS:
            return cast("HttpResponseBase", super().__call__(request))
        return cast("HttpResponseBase", self.get_response(request))


class StaticFilesMiddleware(WhiteNoiseMiddleware):  # type: ignore[misc]
    """Answers static files whole: a client that does not read keeps no thread waiting.

    It keeps a copy of the file instead, so large files are served only where a page needs them.
    """

    @staticmethod
    def serve(static_file: Any, request: HttpRequest) -> HttpResponse:
        found = static_file.get_response(request.method, request.META)
        with found.file or BytesIO() as file:
            answer = HttpResponse(file.read(), status=found.status)
        del answer.headers["Content-Type"]
        for name, text in found.headers:
            answer.headers[name] = text
        return answer


class ServedFiles(AppDirectoriesFinder):
    """Finds the static files of the apps, without those that nobody asks for."""

    def list(self, ignore_patterns: Any) -> Any:
        return super().list([*(ignore_patterns or ()), *settings.NOT_SERVED])


class CollectedOrPlain(CompressedManifestStaticFilesStorage):  # type: ignore[misc]
    """Static files under hashed names that browsers may keep for ever, once they are collected.

    A clone serves without `collectstatic`: each file has its own name then.
    """

    def url(self, name: str | None, force: bool = False) -> str:
        collected = name is not None and self.clean_name(name) in self.hashed_files
        if collected:
            return str(super().url(name, force))
        return StaticFilesStorage.url(self, name)
