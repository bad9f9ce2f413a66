"""Middleware for HTML pages: sessions, messages, CSRF tokens, frame options, and static files.

Most requests are for the API, which does not need this middleware. This middleware would take a
third of the time of such a request, so requests to the API skip it.
"""

from __future__ import annotations

from io import BytesIO
from typing import Any

from django.conf import settings
from django.contrib.auth.middleware import AuthenticationMiddleware
from django.contrib.messages.middleware import MessageMiddleware
from django.contrib.sessions.middleware import SessionMiddleware
from django.contrib.staticfiles.finders import AppDirectoriesFinder
from django.contrib.staticfiles.storage import StaticFilesStorage
from django.http import HttpRequest, HttpResponse
from django.middleware.clickjacking import XFrameOptionsMiddleware
from django.middleware.csrf import CsrfViewMiddleware
from whitenoise.middleware import WhiteNoiseMiddleware  # type: ignore[import-untyped]
from whitenoise.storage import (  # type: ignore[import-untyped]
    CompressedManifestStaticFilesStorage,
)

from coderapi.pages.content_policy import is_html
from kernel.http.middleware import ForPages


def _for_pages(middleware: type[Any]) -> type[Any]:
    """Makes a subclass of the middleware. Requests to the API skip the subclass."""
    return type(f"Page{middleware.__name__}", (ForPages, middleware), {})


PageSessionMiddleware = _for_pages(SessionMiddleware)
# `tokens.verification.extraction` protects the API against cross-site requests.
PageCsrfMiddleware = _for_pages(CsrfViewMiddleware)
PageAuthenticationMiddleware = _for_pages(AuthenticationMiddleware)
PageMessageMiddleware = _for_pages(MessageMiddleware)


class PageXFrameOptionsMiddleware(XFrameOptionsMiddleware):
    """Adds X-Frame-Options to HTML pages, whatever their path is."""

    def process_response(self, request: HttpRequest, response: HttpResponse) -> HttpResponse:
        return super().process_response(request, response) if is_html(response) else response


class StaticFilesMiddleware(WhiteNoiseMiddleware):  # type: ignore[misc]
    """Sends static files as a whole, so that a client that stops reading cannot block a thread.

    For each such client, a copy of the file stays in memory.
    """

    @staticmethod
    def serve(static_file: Any, request: HttpRequest) -> HttpResponse:
        stored = static_file.get_response(request.method, request.META)
        with stored.file or BytesIO() as file:
            answer = HttpResponse(file.read(), status=stored.status)
        del answer.headers["Content-Type"]
        for name, text in stored.headers:
            answer.headers[name] = text
        return answer


class ServedFiles(AppDirectoriesFinder):
    """Finds the static files of the apps, except those in the setting NOT_SERVED."""

    def list(self, ignore_patterns: Any) -> Any:
        return super().list([*(ignore_patterns or ()), *settings.NOT_SERVED])


class CollectedOrPlain(CompressedManifestStaticFilesStorage):  # type: ignore[misc]
    """Serves collected static files under hashed names, which browsers may cache forever.

    In a checkout without `collectstatic`, files keep their plain names.
    """

    def url(self, name: str | None, force: bool = False) -> str:
        if name is not None and self.clean_name(name) in self.hashed_files:
            return str(super().url(name, force))
        return StaticFilesStorage.url(self, name)
