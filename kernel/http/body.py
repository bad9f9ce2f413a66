"""Reads request bodies in the event loop, limits size, time and memory, and parses JSON.

A body must arrive within ten seconds after the head, whatever its size. A **slow client** costs a
connection and the bytes that it has sent. `BODIES` limits these bytes for each address and for all.

If a body breaks off, the request is rejected, and its bytes are dropped.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from types import TracebackType
from typing import Any, Self

import orjson
from django.http import HttpRequest

from kernel.http.call import Call
from kernel.http.errors import APIError
from kernel.limiter import Limiter, Slot

MEBIBYTE = 1024 * 1024
# The maximum size for paths without another one.
DEFAULT_CAP = 4 * MEBIBYTE
# The largest size limit is 8 MiB. At 7 Mbit/s, such a body arrives in this time.
DEADLINE_SECONDS = 10.0
# The number of bytes of each body that are not counted. The number of connections limits them.
FREE_BYTES = 32 * 1024
# At most this number of bytes of a body is counted before they arrive.
STEP_BYTES = 64 * 1024
# A parsed JSON value can take many times the memory of its text. While a million values are parsed,
# this process handles no other request. Legitimate bodies have fewer values.
MAX_VALUES = 20_000

# A slot is a byte of a body that this process holds.
BODIES = Limiter(
    "request bodies",
    limit=128 * MEBIBYTE,
    per_caller=32 * MEBIBYTE,
    full="Too many large requests are being received.",
    own_full="Too many large requests from this address are being received.",
)

type Receive = Callable[[], Awaitable[Mapping[str, Any]]]


class BodyBytes:
    """Counts the bytes of one body, as a context manager that releases them at the end."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._slots: list[Slot] = []
        self._size = self._counted = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()

    def add(self, count: int) -> None:
        """Counts more bytes. Raises: LimitReachedError.

        The first bytes of a body are not counted, so that large bodies cannot prevent small ones.
        Later pieces are counted in advance, so that a body of many small pieces does not need a
        slot for each.
        """
        self._size += count
        if self._size > FREE_BYTES + self._counted:
            amount = max(self._size - FREE_BYTES - self._counted, STEP_BYTES)
            self._slots.append(BODIES.acquire(self._address, amount=amount))
            self._counted += amount

    def release(self) -> None:
        slots, self._slots = self._slots, []
        self._size = self._counted = 0
        for slot in slots:
            BODIES.release(slot)


def announces_body(call: Call) -> bool:
    return call.headers.get("content-length", "0") != "0" or "transfer-encoding" in call.headers


async def read_body(
    call: Call, receive: Receive, held: BodyBytes, *, cap: int, is_broken: Callable[[], bool]
) -> bytes:
    """Returns the whole body. `is_broken` returns whether its rest will not arrive.

    The server has checked the Content-Length, so a body with this header is never longer.

    Raises: APIError 400 if the body is incomplete, 408 if it is late, 413 if it is too large;
    LimitReachedError if this process holds too many bytes.
    """
    # 20 digits are enough to exceed every limit. int() raises ValueError for thousands of digits.
    if int(call.headers.get("content-length", "0")[:20]) > cap:
        raise too_large(cap)
    body = bytearray()
    try:
        async with asyncio.timeout(DEADLINE_SECONDS):
            has_more = True
            while has_more:
                message = await receive()
                piece = message.get("body", b"")
                if len(body) + len(piece) > cap:
                    raise too_large(cap)
                held.add(len(piece))
                body += piece
                has_more = message.get("more_body", False)
                if message["type"] == "http.disconnect" or (has_more and is_broken()):
                    raise APIError(400, "The request body is incomplete.")
    except TimeoutError:
        raise APIError(408, "The request body did not arrive in time.") from None
    return bytes(body)


def too_large(cap: int) -> APIError:
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
