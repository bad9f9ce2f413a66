"""The fast lane: handles requests for cached documents and CSP reports before they reach Django.

Most requests read a cached document, such as a history of stats, or send a CSP report. For these
requests, Django's own processing takes ten times as long as the rest. The lane calls the same
functions as the middlewares and views, and repeats no rules: `routes` reads the URL configuration,
and `_document` performs the steps of the middlewares in the same order.

The lane passes all other requests to Django. Examples are another method or path, a rejected API
key, a caller without permission, or a document that is not rendered yet. The lane counts a request
against the rate limit only if it sends the response itself.
`CODERAPI_FAST_LANE=false` disables the lane. A test sends thousands of requests to a server with
the lane and to a server without the lane, and compares the responses.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache, partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.urls import get_resolver
from django.utils import timezone

from csp.access.keys import is_open_to
from csp.views import ReportView, answer_reports
from kernel.db import listener
from kernel.http import API_PREFIX, documents, hosts, wire
from kernel.http.body import announces_body, first_parameters
from kernel.http.hosts import address_of
from kernel.http.metrics import UNKNOWN, record_request
from kernel.http.middleware import new_request_id, standing_headers
from kernel.http.rate_limit import verdict_on
from kernel.http.responses import Answer
from kernel.http.views import DocumentView, PublicAPIView, view_classes
from kernel.telemetry import logs, metrics
from tokens import refusals, verification
from tokens.extraction import presented_token
from tokens.middleware import SUNSET, look_up, sunset
from users.permissions import KeyIdentity
from users.selectors import ME

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

READS = frozenset({"GET", "HEAD"})

type Environ = Mapping[str, Any]


class NotOurs(Exception):  # noqa: N818 - not an error: Django handles the request
    """The lane does not handle this request, so Django must handle it."""


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
        route = known.get(environ["PATH_INFO"])
        if route is None or environ["REQUEST_METHOD"] not in route.methods:
            return app(environ, start_response)
        begun = time.perf_counter()
        try:
            found, chosen = _answer(route, environ)
        except Exception:  # noqa: BLE001 - Django gets the same error and logs it
            return app(environ, start_response)
        body = found.send(start_response)
        if counts:
            _record(route, environ, found, chosen, begun)
        return body

    return answer


def _answer(route: Route, environ: WSGIEnvironment) -> tuple[Answer, wire.Wire]:
    """Returns the complete response, and its wire format.

    Raises: NotOurs or APIError if Django must handle the request. `fast` treats any other error in
    the same way.
    """
    path = environ["PATH_INFO"]
    if environ.get("SCRIPT_NAME") or _needs_cors(environ) or hosts.check(environ, path):
        raise NotOurs
    chosen = wire.chosen(environ.get("HTTP_CODER_WIRE"))
    request_id, now = new_request_id(), timezone.now()
    if route.view is not None:
        found = _document(route.view, environ, chosen, now)
    else:
        with logs.request_context(request_id), wire.using(chosen):
            found = _reports(environ, now)
    if "HTTP_ORIGIN" in environ:
        # django-cors-headers adds this value even if it does not allow the origin.
        found.headers["Vary"] = ", ".join(filter(None, [found.headers.get("Vary"), "origin"]))
    found.headers.update(standing_headers(request_id))
    return found, chosen


def _needs_cors(environ: Environ) -> bool:
    """Returns whether the response needs CORS headers, which Django's middleware adds."""
    if settings.CORS_ALLOW_ALL_ORIGINS:
        return True
    origin = environ.get("HTTP_ORIGIN")
    return origin is not None and is_open_to(
        environ["PATH_INFO"], first_parameters(environ), origin=origin
    )


def _document(
    view: type[DocumentView], environ: Environ, chosen: wire.Wire, now: datetime
) -> Answer:
    identity = None
    if not issubclass(view, PublicAPIView):
        identity = _identity(environ, now)
        if identity is None or any(refusal(identity) for refusal in view.refusals()):
            raise NotOurs
    rendered = view.peek(first_parameters(environ), chosen, identity)
    if rendered is None:
        raise NotOurs

    answer = partial(documents.answer, rendered, environ)
    return _within_limit(environ, identity, address_of(environ), answer, now)


def _reports(environ: WSGIEnvironment, now: datetime) -> Answer:
    if not announces_body(environ):
        raise NotOurs
    identity = _identity(environ, now)
    refusal = None if identity else refusals.missing()
    address = address_of(environ)

    def answer() -> Answer:
        body = environ["wsgi.input"].read()
        try:
            return answer_reports(
                environ, body, identity=identity, refusal=refusal, address=address, now=now
            )
        finally:
            environ["wsgi.input"].seek(0)

    return _within_limit(environ, identity, address, answer, now)


def _identity(environ: Environ, now: datetime) -> KeyIdentity | None:
    """Returns the caller, or None for a request without a token.

    Raises: NotOurs if the token is not cached and cannot be cached now. APIError if it is rejected.
    Django looks a rejected token up in the cache.
    """
    presented = presented_token(environ)
    if presented is None:
        return None
    identity = verification.recall(presented.token, now=now)
    if identity is not None:
        return identity
    if not listener.is_connected():
        raise NotOurs
    return look_up(presented, address_of(environ), now=now)


def _within_limit(
    environ: Environ,
    identity: KeyIdentity | None,
    address: str,
    answer: Callable[[], Answer],
    now: datetime,
) -> Answer:
    verdict = verdict_on(environ, environ["PATH_INFO"], identity, address)
    refusal = verdict.refusal() if verdict else None
    found = refusal.answer() if refusal else answer()
    for name, value in (verdict.headers() if verdict else {}).items():
        # If an array of reports exceeds the limit, the response already has newer headers.
        found.headers.setdefault(name, value)
    if expires := sunset(identity, now=now):
        found.headers[SUNSET] = expires
    return found


def _record(route: Route, environ: Environ, found: Answer, chosen: wire.Wire, begun: float) -> None:
    is_limited = found.status == HTTPStatus.TOO_MANY_REQUESTS
    record_request(
        operation=UNKNOWN if is_limited else route.operation,
        method=environ["REQUEST_METHOD"],
        status=found.status,
        wire_name=chosen.value,
        seconds=time.perf_counter() - begun,
    )
