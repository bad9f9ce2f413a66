"""The outermost middleware passes the results of the steps to Django, and completes responses."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from django.conf import settings
from django.core.handlers.exception import convert_exception_to_response
from django.http import HttpRequest, HttpResponse
from django.utils.module_loading import import_string

from kernel.http import wire
from kernel.http.asking import run
from kernel.http.call import from_environ
from kernel.http.exchange import finish, walk
from kernel.http.metrics import operation_of
from kernel.http.responses import headers_of, lines_of
from kernel.http.results import KEY, Results, Step, results_of
from kernel.http.steps import hosts
from kernel.telemetry import logs

BODILESS = frozenset({204, 304})


class StepsMiddleware:
    """Takes the results of the steps from the server. Without results, runs the steps itself."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response
        self._steps: tuple[Step, ...] = import_string(settings.STEPS)
        # The response to an error in a step gets the common headers, too.
        self._walk = convert_exception_to_response(self._by_steps)
        self._respond = convert_exception_to_response(self._by_django)

    def __call__(self, request: HttpRequest) -> HttpResponse:
        # The results refer to META. Python would free such a cycle late.
        found: Results | None = request.META.pop(KEY, None)
        results = found or _begun(request)
        request.results = results  # type: ignore[attr-defined]
        respond = self._respond if found else self._walk
        with logs.request_context(results.request_id):
            response = cast("HttpResponse", respond(request))
        results.operation = operation_of(request.resolver_match, results.call)
        _set_length(response)
        if found is None:
            # The server would complete the response in the same way.
            lines = finish(lines_of(response.headers.items()), results)
            for name, value in headers_of(lines).items():
                response.headers[name] = value
        return response

    def _by_steps(self, request: HttpRequest) -> HttpResponse:
        answer = run(walk(self._steps, results_of(request)))
        return answer.as_response() if answer else self._by_django(request)

    def _by_django(self, request: HttpRequest) -> HttpResponse:
        results = results_of(request)
        if results.call.path != request.path_info:
            request.path = request.path_info = results.call.path
        # Django compares it with the Origin of a form.
        request.META["wsgi.url_scheme"] = hosts.scheme_of(results.call)
        with wire.using(results.wire_format):
            return self.get_response(request)


def _begun(request: HttpRequest) -> Results:
    call = from_environ(request.META, request.path_info)
    return Results(call, hosts.address_of(call))


def _set_length(response: HttpResponse) -> None:
    """Sets Content-Length, or removes the body's headers if the status does not allow a body.

    Otherwise a cache would replace the type and length of a stored document with those of a 304
    response (RFC 9111, 3.2).
    """
    if response.status_code in BODILESS:
        for name in ("Content-Type", "Content-Length"):
            del response.headers[name]
    elif not response.streaming and "Content-Length" not in response.headers:
        response.headers["Content-Length"] = str(len(response.content))
