"""The outermost middleware: request id, client address, wire format, and common headers."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import cast

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect

from kernel.http import hosts, single_slashes, wire
from kernel.http.errors import APIError
from kernel.http.handlers import error_response
from kernel.http.hosts import address_of
from kernel.http.identity import IdentifiedRequest
from kernel.telemetry import logs

BODILESS = frozenset({204, 304})
# RFC 9562, 5.4: the bits of the version and of the variant are constant.
ID_BITS = ~(0xF000 << 64 | 0xC000 << 48)
ID_VERSION = 0x4000 << 64 | 0x8000 << 48

# If set, returns the version in the header X-Coder-Build-Version. It returns "" while it does not
# know the version. Then the header is left out.
version_source: Callable[[], str] | None = None


def new_request_id() -> str:
    """Returns a UUID of version 4, in the form of RFC 9562, 4. It is unique, but not secret.

    `random` seeds its generator again in a forked process. A system call for each id would make the
    thread wait for the interpreter's lock.
    """
    # Python's class UUID would take four times as long.
    digits = f"{random.getrandbits(128) & ID_BITS | ID_VERSION:032x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def standing_headers(request_id: str) -> dict[str, str]:
    """Returns the headers that every response has."""
    headers = {
        "X-Coder-Request-Id": request_id,
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "same-origin",
        "Cross-Origin-Opener-Policy": "same-origin",
    }
    version = settings.BUILD_VERSION
    if version_source:
        # The other header then does not show that coderapi sends the response.
        headers["X-Coderapi-Version"] = settings.VERSION
        version = version_source()
    if version:
        headers["X-Coder-Build-Version"] = version
    # Browsers ignore this header over plain HTTP. A proxy may add HTTPS, so it is always sent.
    if settings.STRICT_TRANSPORT_SECURITY:
        headers["Strict-Transport-Security"] = settings.STRICT_TRANSPORT_SECURITY
    return headers


class FrameMiddleware:
    """Sets the request's id, client address and wire format, and the common response headers.

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
        _set_length(response)
        for name, text in standing_headers(framed.request_id).items():
            response.headers[name] = text
        return response

    def _answer(self, request: HttpRequest) -> HttpResponse:
        try:
            target = hosts.check(request.META, request.path)
            # META is used, because `request.headers` would build a mapping of all headers.
            chosen = wire.chosen(request.META.get("HTTP_CODER_WIRE"))
        except APIError as error:
            return error_response(error)
        if target:
            return HttpResponseRedirect(target, preserve_request=True)
        # Django compares it with the Origin of a form.
        request.META["wsgi.url_scheme"] = hosts.scheme_of(request.META)
        with wire.using(chosen):
            return self.get_response(request)


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
