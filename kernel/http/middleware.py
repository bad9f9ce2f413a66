"""The middleware around all others: request id, client address, wire, and common headers."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect

from kernel.http import hosts, single_slashes, wire
from kernel.http.client_address import address_of
from kernel.http.errors import APIError
from kernel.http.handlers import error_response
from kernel.http.headers import new_request_id, standing_headers
from kernel.http.identity import IdentifiedRequest
from kernel.telemetry import logs

BODILESS = frozenset({204, 304})


class FrameMiddleware:
    """Gives a request its id, client address and wire, and an answer its common headers.

    A request id that a client sends is ignored.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        framed = cast("IdentifiedRequest", request)
        if "//" in request.path_info:
            request.path = request.path_info = single_slashes(request.path_info)
        framed.request_id = new_request_id()
        framed.client_address = address_of(request.META)
        with logs.request_context(framed.request_id):
            response = self._answer(request)
        _measure(response)
        for name, text in standing_headers(framed.request_id).items():
            response.headers[name] = text
        return response

    def _answer(self, request: HttpRequest) -> HttpResponse:
        try:
            target = hosts.check(request.META, request.path)
            # META, because `request.headers` builds a mapping of all headers.
            chosen = wire.chosen(request.META.get("HTTP_CODER_WIRE"), default=settings.WIRE)
        except APIError as error:
            return error_response(error)
        if target:
            return HttpResponseRedirect(target, preserve_request=True)
        with wire.using(chosen):
            return self.get_response(request)


def _measure(response: HttpResponse) -> None:
    """Sets Content-Length, or removes the headers of a body where the status allows none.

    A cache would update a stored document with the type and length of a 304 (RFC 9111, 3.2).
    """
    if response.status_code in BODILESS:
        for name in ("Content-Type", "Content-Length"):
            del response.headers[name]
    elif not response.streaming and "Content-Length" not in response.headers:
        response.headers["Content-Length"] = str(len(response.content))
