"""Converts exceptions to error responses, which all have the same JSON shape."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from http import HTTPStatus
from itertools import islice
from typing import Any

from django.conf import settings
from django.core.exceptions import PermissionDenied, SuspiciousOperation, ValidationError
from django.db import DataError
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from rest_framework import exceptions
from rest_framework.exceptions import APIException

from kernel.db import connections
from kernel.db.failures import cause_of, note_failure, prevents_only_writes
from kernel.http import is_api_path
from kernel.http.errors import (
    APIError,
    Validation,
    commit_unknown,
    crashed,
    forbidden,
    invalid,
    limit_reached,
    not_found,
    unavailable,
)
from kernel.http.results import results_of
from kernel.limiter import LimitReachedError
from kernel.telemetry.logs import REPEATS

# The maximum length of `validations`, because a request may have a million invalid members.
MAX_VALIDATIONS = 100

log = logging.getLogger(__name__)
log.addFilter(REPEATS)


def to_api_error(error: BaseException) -> APIError | None:
    """Converts an exception to an APIError. Returns None for an unexpected exception."""
    if connections.is_unavailable(error):
        return _unavailable(error)
    match error:
        case APIError():
            return error
        case APIException():
            return _error_of_drf(error)
        case Http404() | PermissionDenied():
            return not_found() if isinstance(error, Http404) else forbidden()
        case LimitReachedError():
            return limit_reached(error)
        case SuspiciousOperation() | ValidationError():
            return invalid()
        case DataError():
            # PostgreSQL cannot store the value, for example because of a NUL character.
            log.warning("PostgreSQL rejected a value of a request: %s", type(error).__name__)
            return invalid()
    return None


def _error_of_drf(error: APIException) -> APIError:
    if isinstance(error, exceptions.ValidationError):
        return invalid(*islice(_flat(error.detail), MAX_VALIDATIONS))
    message = f"{HTTPStatus(error.status_code).phrase.capitalize()}."
    return APIError(error.status_code, message, str(error.detail))


def _unavailable(error: BaseException) -> APIError:
    log.warning("The database cannot serve a request: %s", connections.first_line(error))
    note_failure(error)
    connections.discard_broken_pool(error)
    if connections.is_commit_unknown(error):
        return commit_unknown()
    if connections.is_conflict(error):
        return unavailable("Other requests change the same data. Try again soon.")
    if connections.is_busy(error) and connections.has_answered_lately():
        return unavailable("Too many requests are waiting for the database. Try again soon.")
    return unavailable(cause_of(error)) if prevents_only_writes(error) else unavailable()


def _flat(detail: Any, path: str = "") -> Iterator[Validation]:
    """Yields an entry for each field in the nested error detail of DRF, with the field's path."""
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
    """Returns the error response for an exception in a DRF view, or None.

    If the result is None, Django handles and logs the exception. DRF's own error response is not
    used, because a view with another renderer would render it as an HTML page.
    """
    answer = to_api_error(error)
    return error_response(answer) if answer else None


def error_response(error: APIError) -> HttpResponse:
    return error.answer().as_response()


def _is_page(request: HttpRequest) -> bool:
    """Returns whether to respond with an HTML page: in the admin, or to a browser."""
    if is_api_path(request.path):
        return False
    is_admin = request.path.startswith(f"{settings.PAGES_PATH}admin/")
    return is_admin or "text/html" in request.headers.get("Accept", "")


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponseBase:
    return error_response(invalid())


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponseBase:
    if _is_page(request):
        return render(request, "403.html", {"title": "Permission denied"}, status=403)
    return error_response(forbidden())


def page_not_found(request: HttpRequest, exception: Exception) -> HttpResponseBase:
    """Returns a 404. It explains that this service implements only a part of Coder's API."""
    if _is_page(request):
        context = {"title": "Page not found", "about": settings.ABOUT}
        return render(request, "404.html", context, status=404)
    detail = f"There is no {request.path}. {settings.ABOUT}"
    return error_response(APIError(404, "Route not found.", detail=detail))


def server_error(request: HttpRequest) -> HttpResponseBase:
    """Returns the error response for an exception that no DRF view has handled."""
    error = sys.exc_info()[1]
    answer = to_api_error(error) if error else None
    return error_response(answer or crashed(results_of(request).request_id))


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponseBase:
    """Rejects a form without a valid CSRF token. Pages get Django's own error page."""
    if _is_page(request):
        from django.views.csrf import csrf_failure as page

        return page(request, reason=reason)
    return error_response(APIError(400, "The CSRF token is missing or not valid.", detail=reason))
