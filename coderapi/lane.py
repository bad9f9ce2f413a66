"""The fast lane: handles requests for cached documents and CSP reports before they reach Django.

Most requests read a cached document, such as a history of stats, or send a CSP report. For these
requests, Django's own processing takes ten times as long as the rest. The lane runs the steps of
each request (`coderapi.steps`). It then calls the same functions as the views.

The lane passes all other requests to Django, with the results of the steps. Examples are another
method or path, a rejected API key, a caller without permission, or a document that is not rendered
yet. `CODERAPI_FAST_LANE=false` disables the lane. A test sends thousands of requests to a server
with the lane and to a server without the lane, and compares the responses.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from django.conf import settings
from django.urls import get_resolver
from django.utils import timezone

from coderapi.steps import STEPS
from csp.views import ReportView, answer_reports
from kernel.http import API_PREFIX, documents, wire
from kernel.http.body import announces_body
from kernel.http.call import decoded_path, first_parameters, from_environ
from kernel.http.handlers import to_api_error
from kernel.http.metrics import UNKNOWN, method_label, record_request
from kernel.http.responses import Answer
from kernel.http.steps import KEY, Results, finish, run
from kernel.http.views import DocumentView, PublicAPIView, view_classes
from kernel.telemetry import logs, metrics
from users.selectors import ME

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

READS = frozenset({"GET", "HEAD"})

log = logging.getLogger(__name__)
# The types of errors that are in the log.
_logged: set[type[Exception]] = set()


@dataclass(frozen=True, slots=True)
class Route:
    """A route that the lane handles. `view` is None for the route of CSP reports."""

    methods: frozenset[str]
    operation: str
    view: type[DocumentView] | None = None


@cache
def routes(urlconf: str) -> dict[str, Route]:
    """Returns the routes of `urlconf` that the lane handles, as a mapping from path to route."""
    found = {}
    for path, view in view_classes(get_resolver(urlconf)):
        if issubclass(view, ReportView):
            found[path] = Route(frozenset({"POST"}), view.post.operation_id)
        elif issubclass(view, DocumentView) and path.startswith(API_PREFIX):
            # Only the document of the caller, whose path contains `me`, is cached.
            found[path.replace("<user:user>", ME)] = Route(READS, view.get.operation_id, view)
    return found


def fast(app: WSGIApplication) -> WSGIApplication:
    """Returns a WSGI application with the lane in front of Django's application."""
    known = routes(settings.ROOT_URLCONF)
    counts = metrics.enabled()

    def answer(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        begun = time.perf_counter()
        results = Results(from_environ(environ, decoded_path(environ["PATH_INFO"]) or "/"))
        route, found, has_results = None, None, False
        try:
            run(STEPS, results)
            has_results = True
            route = known.get(results.path)
            found = results.answer or (_answer(route, environ, results) if route else None)
        except Exception as error:  # noqa: BLE001 - Django gets the request, and logs the error
            _log_once(error)
        if found is None:
            if has_results:
                environ[KEY] = results
            return app(environ, start_response)
        finish(results, found.headers)
        body = found.send(start_response)
        if counts:
            _record(route, results, found, begun)
        return body

    return answer


def _log_once(error: Exception) -> None:
    """Logs the first unexpected error of each type.

    Django handles the request then, and an error in a step occurs again.
    """
    if to_api_error(error) is None and type(error) not in _logged:
        _logged.add(type(error))
        log.error("The fast lane failed, and Django handles the request", exc_info=error)


def _answer(route: Route, environ: WSGIEnvironment, results: Results) -> Answer | None:
    """Returns the response, or None if Django must handle the request."""
    if results.call.method not in route.methods:
        return None
    if route.view is not None:
        return _document(route.view, results)
    if not announces_body(environ):
        return None
    try:
        with logs.request_context(results.request_id), wire.using(results.wire):
            return answer_reports(results, environ["wsgi.input"].read(), now=timezone.now())
    finally:
        environ["wsgi.input"].seek(0)


def _document(view: type[DocumentView], results: Results) -> Answer | None:
    identity = results.caller.identity
    if not issubclass(view, PublicAPIView) and (
        identity is None or any(refusal(identity) for refusal in view.refusals())
    ):
        return None
    rendered = view.peek(first_parameters(results.call), results.wire, identity)
    return documents.answer(rendered, results.call) if rendered else None


def _record(route: Route | None, results: Results, found: Answer, begun: float) -> None:
    is_handled = route is not None and results.answer is None
    record_request(
        operation=route.operation if route and is_handled else UNKNOWN,
        method=method_label(results.call),
        status=found.status,
        wire_name=results.wire.value,
        seconds=time.perf_counter() - begun,
    )
