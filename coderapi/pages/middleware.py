"""Middleware for HTML pages: sessions, messages, CSRF tokens, frame options, and static files.

Most requests are for the API, which does not need this middleware. It would take a third of the
time of such a request, so requests to the API skip it.
"""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from typing import Any, cast

from django.conf import settings
from django.contrib.staticfiles.finders import AppDirectoriesFinder
from django.contrib.staticfiles.storage import StaticFilesStorage
from django.core.handlers.exception import convert_exception_to_response
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.middleware.clickjacking import XFrameOptionsMiddleware
from django.utils.module_loading import import_string
from whitenoise.middleware import WhiteNoiseMiddleware  # type: ignore[import-untyped]
from whitenoise.storage import (  # type: ignore[import-untyped]
    CompressedManifestStaticFilesStorage,
)

from coderapi.pages.content_policy import is_html
from kernel.http import is_api_path

type Respond = Callable[[HttpRequest], HttpResponseBase]


class PagesMiddleware:
    """Runs the middleware of PAGES_MIDDLEWARE, as Django does. Requests to the API skip it all."""

    def __init__(self, get_response: Respond) -> None:
        self._get_response, self._get_page = get_response, get_response
        self._view_hooks: list[Callable[..., HttpResponseBase | None]] = []
        for name in reversed(settings.PAGES_MIDDLEWARE):
            middleware = import_string(name)(self._get_page)
            self._get_page = cast("Respond", convert_exception_to_response(middleware))
            if hasattr(middleware, "process_view"):
                self._view_hooks.insert(0, middleware.process_view)

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        respond = self._get_response if is_api_path(request.path) else self._get_page
        return respond(request)

    def process_view(self, request: HttpRequest, *view: Any) -> HttpResponseBase | None:
        """Returns the first response of the middleware that looks at the view, or None."""
        hooks = () if is_api_path(request.path) else self._view_hooks
        return next(filter(None, (hook(request, *view) for hook in hooks)), None)


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
