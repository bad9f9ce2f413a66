"""Answers every error in the one shape, whatever raised it."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

from django.conf import settings
from django.core.exceptions import PermissionDenied, RequestDataTooBig, SuspiciousOperation
from django.db import DataError
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.views import defaults
from rest_framework import exceptions

from kernel.db import connections
from kernel.http import API_PREFIX
from kernel.http.errors import (
    JSON_CONTENT_TYPE,
    APIError,
    Validation,
    commit_unknown,
    crashed,
    forbidden,
    limit_reached,
    not_found,
    unavailable,
)
from kernel.limiter import LimitReachedError

# So many refused members of a request are named: of a million, nobody reads more.
MAX_VALIDATIONS = 100

log = logging.getLogger(__name__)


def to_api_error(error: BaseException) -> APIError | None:
    """Returns the answer that an exception stands for; None for one that nobody foresaw."""
    if isinstance(error, APIError):
        return error
    if connections.is_unavailable(error):
        return _unavailable(error)
    for kinds, answer in ANSWERS:
        if isinstance(error, kinds):
            return answer(error)
    return None


def _invalid(_error: Any) -> APIError:
    return APIError(400, "The request is not valid.")


def _unfit(error: DataError) -> APIError:
    """Answers 400 for a value that PostgreSQL cannot hold, such as a NUL in an admin's filter."""
    log.warning("PostgreSQL refused a request's value: %s", type(error).__name__)
    return _invalid(error)


ANSWERS: tuple[tuple[type | tuple[type, ...], Callable[[Any], APIError]], ...] = (
    (
        exceptions.ValidationError,
        lambda error: APIError(
            400,
            "The request is not valid.",
            validations=list(islice(_flat(error.detail), MAX_VALIDATIONS)),
        ),
    ),
    (
        exceptions.MethodNotAllowed,
        lambda error: APIError(405, "Method not allowed.", detail=str(error.detail)),
    ),
    (Http404, lambda _: not_found()),
    (LimitReachedError, limit_reached),
    ((PermissionDenied, exceptions.PermissionDenied), lambda _: forbidden()),
    ((SuspiciousOperation, RequestDataTooBig, exceptions.ParseError), _invalid),
    (DataError, _unfit),
)


def _unavailable(error: BaseException) -> APIError:
    log.warning("the database cannot serve a request: %s", type(error).__name__)
    connections.discard_broken_pool(error)
    if connections.is_commit_unknown(error):
        return commit_unknown()
    if connections.is_busy(error) and connections.has_answered_lately():
        return unavailable("Too many requests are waiting for the database. Try again soon.")
    return unavailable()


def _flat(detail: Any, path: str = "") -> Iterator[Validation]:
    """Yields DRF's nested error detail as entries of `field.path: text`."""
    if isinstance(detail, dict):
        for name, inner in detail.items():
            yield from _flat(inner, f"{path}.{name}" if path else str(name))
    elif isinstance(detail, list) and any(isinstance(item, dict | list) for item in detail):
        for index, inner in enumerate(detail):
            yield from _flat(inner, f"{path}[{index}]")
    else:
        texts = detail if isinstance(detail, list) else [detail]
        yield Validation(path.removesuffix(".non_field_errors"), " ".join(str(t) for t in texts))


def exception_handler(error: Exception, context: dict[str, Any]) -> HttpResponse | None:
    """Turns an error into a response for DRF, or returns None: then Django logs it and answers 500.

    It is no response of DRF's, which a view with a renderer of its own would turn into a page.
    """
    found = to_api_error(error)
    return error_response(found) if found else None


def error_response(error: APIError) -> HttpResponse:
    return HttpResponse(
        error.as_bytes(),
        status=error.status,
        content_type=JSON_CONTENT_TYPE,
        headers=dict(error.headers),
    )


def _is_page(request: HttpRequest) -> bool:
    """Tells if a person looks at the answer: in the admin, or on a page that a browser asks for."""
    if request.path.startswith(API_PREFIX):
        return False
    is_admin = request.path == "/admin" or request.path.startswith("/admin/")
    return is_admin or "text/html" in request.headers.get("Accept", "")


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponseBase:
    return error_response(APIError(400, "The request is not valid."))


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponseBase:
    if _is_page(request):
        return defaults.permission_denied(request, exception)
    return error_response(forbidden())


def page_not_found(request: HttpRequest, exception: Exception) -> HttpResponseBase:
    """Answers 404, and says what this service is to whoever takes it for all of Coder."""
    if _is_page(request):
        context = {"title": "Page not found", "about": settings.ABOUT}
        return render(request, "404.html", context, status=404)
    detail = f"There is no {request.path}. {settings.ABOUT}"
    return error_response(APIError(404, "Route not found.", detail=detail))


def server_error(request: HttpRequest) -> HttpResponseBase:
    """Answers an exception that nothing else answered; Django calls it."""
    error = sys.exc_info()[1]
    found = to_api_error(error) if error else None
    return error_response(found or crashed(getattr(request, "request_id", "unknown")))


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponseBase:
    """Answers a form without its CSRF token; the admin's pages keep Django's own page."""
    if _is_page(request):
        from django.views.csrf import csrf_failure as page

        return page(request, reason=reason)
    return error_response(APIError(400, "The CSRF token is missing or wrong.", detail=reason))
