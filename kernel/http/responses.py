"""Responses as plain values, which can be sent with or without Django, and their headers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from http import HTTPStatus
from typing import TYPE_CHECKING, NamedTuple, Protocol

from kernel.http.headers import BUILD_VERSION, VERSION
from kernel.settings import settings

if TYPE_CHECKING:
    from concurrent.futures import Future

    from django.http import HttpResponse

JSON_CONTENT_TYPE = "application/json; charset=utf-8"

# If set, returns the version in the header BUILD_VERSION. It returns "" while it does not
# know the version. Then the header is left out.
version_source: Callable[[], str] | None = None


class Pieces(Protocol):
    """The rest of a response that is sent piece by piece."""

    def next(self) -> Future[bytes | None]:
        """Makes the next piece in a thread. After the last piece, the result is None."""

    def close(self, size: int, *, is_whole: bool) -> None:
        """Frees what the response holds. `size` bytes of the body were sent."""


@dataclass(slots=True)
class Answer:
    """A response. `cookies` are further headers. With `pieces`, the body is sent piece by piece.

    `lines` are headers in the form in which they are sent. They are made once for many responses.
    """

    status: int
    headers: dict[str, str]
    body: bytes
    cookies: Sequence[str] = ()
    pieces: Pieces | None = None
    lines: bytes = b""

    def add_length(self) -> None:
        """Adds the Content-Length, except to a 304 response, whose content the client has."""
        if self.status != HTTPStatus.NOT_MODIFIED:
            self.headers["Content-Length"] = str(len(self.body))

    def all_headers(self) -> dict[str, str]:
        """Returns the headers with those in `lines`, without the cookies."""
        lines = self.lines.decode("latin-1").splitlines()
        return {**dict(line.split(": ", 1) for line in lines), **self.headers}

    def as_response(self) -> HttpResponse:
        """Returns Django's form of the response."""
        # Imported here, because commands use errors, and start faster without Django's HTTP.
        from django.http import HttpResponse

        headers = self.all_headers()
        response = HttpResponse(self.body, status=self.status, headers=headers)
        if "Content-Type" not in headers:
            # Otherwise Django would send that it is HTML.
            del response.headers["Content-Type"]
        return response


def lines_of(headers: Mapping[str, str]) -> bytes:
    """Returns the headers in the form in which they are sent."""
    return "".join(f"{name}: {value}\r\n" for name, value in headers.items()).encode("latin-1")


class Common(NamedTuple):
    """The headers that every response has, besides its request id.

    The `lines` are the same headers in the form in which they are sent.
    """

    headers: Mapping[str, str]
    lines: bytes


def common() -> Common:
    """Returns the headers that every response has."""
    version = version_source() if version_source else settings.BUILD_VERSION
    return _common_of(version, settings.STRICT_TRANSPORT_SECURITY, has_source=bool(version_source))


@lru_cache(maxsize=8)
def _common_of(version: str, transport_security: str, *, has_source: bool) -> Common:
    headers = {
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "same-origin",
        "Cross-Origin-Opener-Policy": "same-origin",
    }
    if has_source:
        # BUILD_VERSION then has Coder's version, so this header identifies coderapi.
        headers[VERSION] = settings.VERSION
    if version:
        headers[BUILD_VERSION] = version
    # Browsers ignore this header over plain HTTP. A proxy may add HTTPS, so it is always sent.
    if transport_security:
        headers["Strict-Transport-Security"] = transport_security
    return Common(headers, lines_of(headers))
