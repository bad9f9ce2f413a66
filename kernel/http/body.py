"""Reads request bodies before the application runs, limits size and time, and parses JSON.

The server's `wsgi.input.read(n)` returns after n bytes or at the end of the body. It cannot be
interrupted. While a **slow client** keeps the connection open, it blocks its thread. Another thread
must not call it instead: the server would then stop the whole process at the end of the request
(tested with granian 2.8). So `kernel.limiter` limits the threads that read bodies:

* A quarter of the server's threads may read bodies. Each needs a slot of the limiter. If no
  slot is free, a request waits up to a second, and then gets a 503.
* One client address may use a quarter of the slots. Further requests from this address wait
  up to a second, and then get a 429.
* A body must arrive within ten seconds. The time is checked after each part that arrives.
* A blocked read cannot be ended. If all slots are in use and a read has been blocked for a minute,
  this process asks to be replaced.

A proxy that buffers requests, such as the one in docker-compose.yml, keeps slow clients away.

The server does not report whether a chunked body is complete. An incomplete JSON value is rejected
as invalid. A complete JSON value is accepted even if the last chunk is missing.
"""

from __future__ import annotations

import io
import logging
import time
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import orjson
from django.http import HttpRequest

from kernel.http import single_slashes
from kernel.http.errors import APIError, limit_reached
from kernel.limiter import Limiter, LimitReachedError

if TYPE_CHECKING:
    from _typeshed.wsgi import InputStream, StartResponse, WSGIApplication, WSGIEnvironment

type Environ = Mapping[str, object]

MEBIBYTE = 1024 * 1024
# The maximum size for paths that are not in `caps`.
DEFAULT_CAP = 4 * MEBIBYTE
PIECE_BYTES = 64 * 1024
# If a body is too large, up to this number of bytes is read and dropped. Otherwise a client that
# sends its whole body before it reads the response would get a connection reset instead.
SWALLOWED_BYTES = 32 * MEBIBYTE
# A parsed JSON value can take many times the memory of its text. While a million values are parsed,
# this process handles no other request. Legitimate bodies have fewer values.
MAX_VALUES = 20_000

# The largest size limit is 8 MiB. At 7 Mbit/s, such a body arrives in this time.
DEADLINE_SECONDS = 10.0
# A body that still receives bytes is rejected at the deadline. This time is much longer, so a read
# that takes longer than this is blocked.
STUCK_SECONDS = 60.0

log = logging.getLogger(__name__)


# Called once if slow bodies have used all slots for a minute. The server sets it.
when_stuck: Callable[[], None] | None = None


def readers(limit: int) -> Limiter:
    """Makes the limiter for threads that read request bodies."""
    return Limiter(
        "request bodies",
        limit=max(limit, 1),
        per_caller=max(limit // 4, 1),
        timeout=1.0,
        full="Too many requests are sending their bodies slowly.",
        own_full="Too many requests from this address are still sending their bodies.",
    )


def bounded(
    app: WSGIApplication,
    *,
    readers: Limiter,
    caps: Mapping[str, int],
    address_of: Callable[[WSGIEnvironment], str],
    headers: Callable[[], Mapping[str, str]],
) -> WSGIApplication:
    """Wraps an application, which then gets each request body complete and in memory.

    If a body cannot be read, the wrapper returns the error response. `caps` has the maximum number
    of bytes for each path. `address_of` returns the address of the client. `headers` returns the
    headers of an error response.
    """

    def answer(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if announces_body(environ):
            cap = caps.get(single_slashes(environ.get("PATH_INFO", "")), DEFAULT_CAP)
            try:
                length = announced_length(environ)
                refuse_unread(length, environ, cap=cap)
                with readers.hold(address_of(environ)) as slot:
                    deadline = slot.since + DEADLINE_SECONDS
                    body = receive(environ["wsgi.input"], length, cap=cap, deadline=deadline)
            except (APIError, LimitReachedError) as error:
                refused = _refusal(error, readers).answer()
                refused.headers.update(headers())
                return refused.send(start_response)
            environ["CONTENT_LENGTH"] = str(len(body))
            environ["wsgi.input"] = io.BytesIO(body)
        return app(environ, start_response)

    return answer


def announces_body(environ: Environ) -> bool:
    return environ.get("CONTENT_LENGTH", "0") != "0" or "HTTP_TRANSFER_ENCODING" in environ


def announced_length(environ: Environ) -> int | None:
    """Returns the Content-Length, or None for a chunked body. Raises: APIError 400."""
    text = str(environ.get("CONTENT_LENGTH", ""))
    if "HTTP_TRANSFER_ENCODING" in environ or not text:
        return None
    if not (text.isascii() and text.isdecimal()):
        raise APIError(400, "The Content-Length header must be a whole number.")
    # 20 digits are enough to exceed every limit. int() raises ValueError for thousands of digits.
    return int(text[:20])


def refuse_unread(length: int | None, environ: Environ, *, cap: int) -> None:
    """Rejects a body by its announced length, without reading it. Raises: APIError 413.

    A client that does not use `Expect` sends its body without waiting. Then a body of up to 32 MiB
    is not rejected here, but read and dropped.
    """
    is_sent_anyway = "HTTP_EXPECT" not in environ
    if length is not None and length > max(cap, SWALLOWED_BYTES if is_sent_anyway else 0):
        raise too_large(cap)


def receive(stream: InputStream, length: int | None, *, cap: int, deadline: float) -> bytes:
    """Reads the body. `length` is the announced number of bytes, or None for a chunked body.

    `stream.read(n)` returns fewer than n bytes only at the end of the body.

    Raises: APIError 400 if fewer bytes arrive than announced, 408 after the deadline, 413 if the
    body is too large.
    """
    pieces: list[bytes] = []
    received, limit = 0, SWALLOWED_BYTES if length is None else length
    while received < limit:
        if time.monotonic() > deadline:
            raise APIError(408, "The request body did not arrive in time.")
        wanted = min(PIECE_BYTES, limit - received)
        piece = stream.read(wanted)
        received += len(piece)
        if received <= cap:
            pieces.append(piece)
        else:
            # The rest is read and counted, but dropped.
            pieces.clear()
        if len(piece) < wanted:
            break
    if max(received, length or 0) > cap:
        raise too_large(cap)
    if length is not None and received < length:
        detail = f"Announced bytes: {length}. Received bytes: {received}."
        raise APIError(400, "The request body is incomplete.", detail=detail)
    return b"".join(pieces)


def too_large(cap: int) -> APIError:
    return APIError(413, "The request body is too large.", detail=f"The limit is {cap} bytes.")


def _refusal(error: APIError | LimitReachedError, readers: Limiter) -> APIError:
    """Converts the error. Asks for a replacement of this process if slow bodies block its reads."""
    global when_stuck
    if isinstance(error, APIError):
        return error
    if when_stuck and not error.is_per_caller and readers.seconds_of_oldest() > STUCK_SECONDS:
        log.warning("Slow request bodies use all slots; this process asks to be replaced")
        ask, when_stuck = when_stuck, None
        ask()
    return limit_reached(error)


# --- JSON and parameters ----------------------------------------------------------------------


def values_at_most(body: bytes) -> int:
    """Counts brackets, braces and commas. The body has at most one JSON value more than that."""
    return sum(map(body.count, (b"[", b"{", b",")))


def parse_json(body: bytes, *, max_values: int = MAX_VALUES) -> Any:
    """Parses the JSON value in the body. The Content-Type header is ignored.

    orjson rejects NaN, lone surrogates, bytes that are not UTF-8, more than about a thousand levels
    of nesting, and anything after the value.

    Raises: APIError 400 with the position of the error, or for too many values.
    """
    if not body.strip():
        raise APIError(400, "The request body must be valid JSON.", detail="The body is empty.")
    if values_at_most(body) > max_values:
        detail = f"The limit is {max_values} values."
        raise APIError(400, "The JSON in the request body has too many values.", detail=detail)
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        detail = f"{error.msg} (line {error.lineno}, column {error.colno})."
        raise APIError(400, "The request body must be valid JSON.", detail) from None


def json_object(request: HttpRequest) -> dict[str, Any]:
    """Parses a JSON object in the request's body. Raises: APIError 400 for other JSON values."""
    value = parse_json(request.body)
    if not isinstance(value, dict):
        raise APIError(400, "The request body must be a JSON object.")
    return value
