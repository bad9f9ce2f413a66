"""Receives request bodies in the event loop, limits their size and time, and parses JSON.

A body is read when the steps of its request have not rejected it. It must arrive within ten seconds
after the head, whatever its size. `coderapi.server` limits the bytes that a process holds.

If a body breaks off, the request is rejected, and its bytes are dropped.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import orjson
from django.http import HttpRequest

from kernel.futures import Signal
from kernel.http.asking import Asking
from kernel.http.errors import APIError
from kernel.http.results import Ask

MEBIBYTE = 1024 * 1024
# The maximum size for paths without another one.
DEFAULT_CAP = 4 * MEBIBYTE
# The largest size limit is 8 MiB. At 7 Mbit/s, such a body arrives in this time.
DEADLINE_SECONDS = 10.0
# A parsed JSON value can take many times the memory of its text. While a million values are parsed,
# this process handles no other request. Legitimate bodies have fewer values.
MAX_VALUES = 20_000

# Returns the body of a request. Raises: the errors of `Body.read`.
type Read = Callable[[], Asking[bytes]]


class Body:
    """The body of a request. The connection adds what arrives, and the exchange reads it.

    `length` is the Content-Length. `want` is called when the exchange waits for the rest.
    """

    def __init__(
        self, length: int, want: Callable[[], None], seconds: float = DEADLINE_SECONDS
    ) -> None:
        self.length = length
        self.data = bytearray()
        self._taken = 0
        self.is_complete = False
        self._due = time.monotonic() + seconds
        self._want = want
        self._cap = float("inf")
        self._error: Exception | None = None
        self._whole: Signal | None = None

    # --- For the connection -----------------------------------------------------------------------

    @property
    def is_wanted(self) -> bool:
        return self._whole is not None

    def take(self, data: bytes) -> bytes:
        """Adds what belongs to the body, and returns the rest, which may be incomplete.

        Raises: APIError 400 or 431.
        """
        piece = data[: self.length - self._taken]
        self._taken += len(piece)
        self.add(piece)
        if self._taken == self.length:
            self.complete()
        return data[len(piece) :]

    def add(self, piece: bytes) -> None:
        if self._error:
            return
        self.data += piece
        if len(self.data) > self._cap:
            self.fail(too_large(self._cap))

    def complete(self) -> None:
        self.is_complete = True
        if self._whole:
            self._whole.set()

    def fail(self, error: Exception) -> None:
        """Makes `read` raise the error. The bytes are dropped."""
        self._error = self._error or error
        self.data = bytearray()
        if self._whole:
            self._whole.set()

    # --- For the exchange -------------------------------------------------------------------------

    async def read(self, cap: int) -> bytes:
        """Returns the whole body.

        Raises: APIError 400 if the body is incomplete or not valid, 408 if it is late, 413 if it is
        too large; LimitReachedError if this process holds too many bytes.
        """
        if max(self.length, len(self.data)) > cap:
            raise too_large(cap)
        if not self.is_complete and not self._error:
            self._cap, whole = cap, Signal()
            self._whole = whole
            self._want()
            seconds = max(0.0, self._due - time.monotonic())
            try:
                await Ask(begin=lambda: whole, seconds=seconds)
            except TimeoutError:
                raise APIError(408, "The request body did not arrive in time.") from None
        if self._error:
            raise self._error
        return bytes(self.data)


def incomplete() -> APIError:
    return APIError(400, "The request body is incomplete.")


def too_large(cap: float) -> APIError:
    return APIError(413, "The request body is too large.", detail=f"The limit is {cap} bytes.")


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
