"""Responses as plain values, which can be sent with or without Django, and their headers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING

from kernel.settings import settings

if TYPE_CHECKING:
    from django.http import HttpResponse

JSON_CONTENT_TYPE = "application/json; charset=utf-8"

# If set, returns the version in the header X-Coder-Build-Version. It returns "" while it does not
# know the version. Then the header is left out.
version_source: Callable[[], str] | None = None


@dataclass(slots=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    def completed(self, request_id: str) -> Answer:
        """Adds the length, and the headers of every response, to one that no step has made."""
        self.headers |= common_headers(request_id)
        self.add_length()
        return self

    def add_length(self) -> None:
        """Adds the Content-Length, except to a 304 response, whose content the client has."""
        if self.status != HTTPStatus.NOT_MODIFIED:
            self.headers["Content-Length"] = str(len(self.body))

    def as_response(self) -> HttpResponse:
        """Returns Django's form of the response."""
        # Imported here, because commands use errors, and start faster without Django's HTTP.
        from django.http import HttpResponse

        response = HttpResponse(self.body, status=self.status, headers=self.headers)
        if "Content-Type" not in self.headers:
            # Otherwise Django would send that it is HTML.
            del response.headers["Content-Type"]
        return response


def common_headers(request_id: str) -> dict[str, str]:
    """Returns the headers that every response has."""
    headers = {
        "X-Coder-Request-Id": request_id,
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "same-origin",
        "Cross-Origin-Opener-Policy": "same-origin",
    }
    version = settings.BUILD_VERSION
    if version_source:
        # X-Coder-Build-Version then has Coder's version, so this header identifies coderapi.
        headers["X-Coderapi-Version"] = settings.VERSION
        version = version_source()
    if version:
        headers["X-Coder-Build-Version"] = version
    # Browsers ignore this header over plain HTTP. A proxy may add HTTPS, so it is always sent.
    if settings.STRICT_TRANSPORT_SECURITY:
        headers["Strict-Transport-Security"] = settings.STRICT_TRANSPORT_SECURITY
    return headers
