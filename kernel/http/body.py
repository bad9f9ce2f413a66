"""Reads a request's whole body before the application runs: counted, capped, and in time."""

from __future__ import annotations

import io
import uuid
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Protocol

from kernel.http.errors import JSON_CONTENT_TYPE, APIError, unavailable
from kernel.http.stalled import SHARED_WATCH, Request, Watch

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

type CapFor = Callable[[str, str], int]

CHUNK_BYTES = 64 * 1024
# So much of a body that is refused for its size is taken in and forgotten: a client that sends
# before it listens would find a reset connection instead of the answer.
SWALLOWED_BYTES = 32 * 1024 * 1024


class Readable(Protocol):
    """What is needed of a `wsgi.input`: `read(n)` gives fewer than n bytes only at the end."""

    def read(self, size: int, /) -> bytes: ...


def bounded(
    app: WSGIApplication,
    *,
    cap_for: CapFor,
    build_version: str,
    most_slow: int = 48,
    watch: Watch = SHARED_WATCH,
) -> WSGIApplication:
    """The same application behind a body that is complete, within its cap, and in memory.

    Answers 400, 408, 413 or 503 in the one error shape itself; 503 while `most_slow` threads wait
    for bodies that do not come, so that the others can answer. Units: the cap in bytes.
    """

    def answer(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        request = watch.enter(environ)
        try:
            if announces_body(environ):
                if watch.slow_readers >= most_slow:
                    raise unavailable("Too many requests are slow to send their bodies.")
                cap = cap_for(environ["REQUEST_METHOD"], environ.get("PATH_INFO", ""))
                body = receive(environ, cap=cap, request=request)
                environ["CONTENT_LENGTH"] = str(len(body))
                environ["wsgi.input"] = io.BytesIO(body)
        except APIError as error:
            return _refuse(error, start_response, build_version=build_version)
        else:
            return app(environ, start_response)
        finally:
            watch.leave(request)

    return answer


def announces_body(environ: WSGIEnvironment) -> bool:
    return environ.get("CONTENT_LENGTH", "0") != "0" or "HTTP_TRANSFER_ENCODING" in environ


def receive(environ: WSGIEnvironment, *, cap: int, request: Request) -> bytes:
    """The whole body.

    Raises: APIError 400 (malformed length, or fewer bytes than announced), 408, 413.
    """
    length = announced_length(environ)
    if length is not None and length > cap and not _is_coming_anyway(length, environ):
        raise too_large(cap)
    most = SWALLOWED_BYTES if length is None else length
    with request.reading():
        body, came = _take_in(environ["wsgi.input"], most=most, cap=cap, request=request)
        late = request.is_late()
    if max(came, length or 0) > cap:
        raise too_large(cap)
    if late and came != length:
        raise APIError(408, "The request body did not arrive in time.")
    if length is not None and came < length:
        detail = f"{length} bytes were announced, {came} came."
        raise APIError(400, "The request body is incomplete.", detail=detail)
    return body


def announced_length(environ: WSGIEnvironment) -> int | None:
    """What Content-Length says, or None for a chunked body. Raises: APIError 400."""
    text = environ.get("CONTENT_LENGTH", "")
    if "HTTP_TRANSFER_ENCODING" in environ or not text:
        return None
    if not (text.isascii() and text.isdecimal()):
        raise APIError(400, "The Content-Length header must be a whole number.")
    # int() itself refuses a number of thousands of digits.
    return int(text[:20])


def _is_coming_anyway(length: int, environ: WSGIEnvironment) -> bool:
    """Whether the client sends its body without being asked, and little enough to take it in."""
    return length <= SWALLOWED_BYTES and "HTTP_EXPECT" not in environ


def _take_in(stream: Readable, *, most: int, cap: int, request: Request) -> tuple[bytes, int]:
    """The body, and how many bytes came; over the cap they are counted and not kept."""
    chunks: list[bytes] = []
    came = 0
    while came < most and not request.is_late():
        wanted = min(CHUNK_BYTES, most - came)
        chunk = stream.read(wanted)
        came += len(chunk)
        if came <= cap:
            chunks.append(chunk)
        else:
            chunks.clear()
        if len(chunk) < wanted:
            break
    return b"".join(chunks), came


def too_large(cap: int) -> APIError:
    return APIError(413, "The request body is too large.", detail=f"The limit is {cap} bytes.")


STATUS_LINES = {
    400: "400 Bad Request",
    408: "408 Request Timeout",
    413: "413 Request Entity Too Large",
    503: "503 Service Unavailable",
}


def _refuse(
    error: APIError, start_response: StartResponse, *, build_version: str
) -> Iterable[bytes]:
    answer = error.as_bytes()
    headers = [
        ("Content-Type", JSON_CONTENT_TYPE),
        ("Content-Length", str(len(answer))),
        ("X-Content-Type-Options", "nosniff"),
        ("X-Coder-Request-Id", str(uuid.uuid4())),
        ("X-Coder-Build-Version", build_version),
        *error.headers.items(),
    ]
    start_response(STATUS_LINES[error.status], headers)
    return [answer]
