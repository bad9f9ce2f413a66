"""Responses as plain values, which can be sent with or without Django, and their headers."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Protocol

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
    """A response. With `pieces`, the body is sent piece by piece.

    `lines` are its headers in the form in which they are sent (`lines_of`).
    """

    status: int
    lines: bytes
    body: bytes = b""
    pieces: Pieces | None = None

    @classmethod
    def whole(cls, status: int, headers: Mapping[str, str], body: bytes = b"") -> Answer:
        """Returns a response with these headers, and with the length of its body."""
        return cls(status, lines_of([*headers.items(), length_of(body)]), body)

    @property
    def has_length(self) -> bool:
        return b"content-length:" in self.lines.lower()

    def as_response(self) -> HttpResponse:
        """Returns Django's form of the response."""
        # Imported here, because commands use errors, and start faster without Django's HTTP.
        from django.http import HttpResponse

        headers = headers_of(self.lines)
        response = HttpResponse(self.body, status=self.status, headers=headers)
        if "Content-Type" not in headers:
            # Otherwise Django would send that it is HTML.
            del response.headers["Content-Type"]
        return response


def length_of(body: bytes) -> tuple[str, str]:
    return "Content-Length", str(len(body))


def lines_of(headers: Collection[tuple[str, str]]) -> bytes:
    """Returns the headers in the form in which they are sent.

    Raises: ValueError for a line break, with which a value could add headers.
    """
    text = "".join([f"{name}: {value}\r\n" for name, value in headers])
    if text.count("\n") != len(headers) or text.count("\r") != len(headers):
        raise ValueError("A header contains a line break.")
    return text.encode("latin-1")


def headers_of(lines: bytes) -> dict[str, str]:
    """Returns the headers of `lines_of`, for Django's form of a response."""
    return dict(line.split(": ", 1) for line in lines.decode("latin-1").splitlines())


def common_lines() -> bytes:
    """Returns the headers that every response has, besides its request id."""
    version = version_source() if version_source else settings.BUILD_VERSION
    return _common_lines(version, settings.STRICT_TRANSPORT_SECURITY, bool(version_source))


@lru_cache(maxsize=8)
def _common_lines(version: str, transport_security: str, has_source: bool) -> bytes:
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
    return lines_of(headers.items())
