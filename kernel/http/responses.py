"""Responses as plain values, which can be sent with or without Django."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse
    from django.http import HttpResponse

JSON_CONTENT_TYPE = "application/json; charset=utf-8"
STATUS_LINES = {status.value: f"{status.value} {status.phrase}" for status in HTTPStatus}


@dataclass(slots=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    def as_response(self) -> HttpResponse:
        """Returns Django's form of the response."""
        # Imported here, because commands use errors, and start faster without Django's HTTP.
        from django.http import HttpResponse

        return HttpResponse(self.body, status=self.status, headers=self.headers)

    def send(self, start_response: StartResponse) -> list[bytes]:
        """Sends the response without Django, from a WSGI application. Returns its result."""
        if self.status != HTTPStatus.NOT_MODIFIED:
            self.headers["Content-Length"] = str(len(self.body))
        start_response(STATUS_LINES[self.status], list(self.headers.items()))
        return [self.body]
