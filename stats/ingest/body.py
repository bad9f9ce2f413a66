"""Parses a request body into rows. The body is JSON or JSON lines, and may be gzip-compressed."""

from __future__ import annotations

import gzip
import io
import zlib

from kernel.http import body as bodies
from kernel.http.body import MEBIBYTE
from kernel.http.errors import APIError
from stats.ingest.rows import Numbered, parse_json

MAX_ROWS = 10_000
MAX_INFLATED_BYTES = 64 * MEBIBYTE
# A row has a few dozen members and one nested object. A body with far more values is rejected
# before it is parsed, because parsed values can need many times the memory of their JSON.
MAX_COMMAS = 300 * MAX_ROWS
MAX_CONTAINERS = 10 * MAX_ROWS
# Limits the number of lines, empty lines included, because skipping empty lines takes time.
MAX_LINES = 10 * MAX_ROWS
# Some compressors write a body as several gzip members. The number of members is limited, because a
# body of 8 MB could contain 400,000 empty members. Members are counted by their first bytes. In
# compressed data, these bytes occur by coincidence less than once per body.
MAX_MEMBERS = 10_000
MEMBER = b"\x1f\x8b\x08"


def read_rows(body: bytes, *, encoding: str) -> list[Numbered]:
    """Returns the rows with their numbers, from 1. In JSON lines, the number is the line number.

    The body is a JSON array of rows, a single object, or JSON lines with one object per line.

    Raises: APIError 400 for invalid JSON or gzip, 413 for too many rows or bytes, 415 for another
    content encoding.
    """
    text = _decoded(body, encoding=encoding)
    containers = text.count(b"[") + text.count(b"{")
    if text.count(b",") > MAX_COMMAS or containers > MAX_CONTAINERS:
        raise _too_many_rows()
    if _is_lines(text):
        if text.count(b"\n") > MAX_LINES:
            raise _too_many_rows()
        # Without a list of all lines, many empty ones need no memory.
        lines = enumerate(io.BytesIO(text), 1)
        rows = [(number, parse_json(line)) for number, line in lines if line.strip()]
    else:
        value = bodies.parse_json(text, max_values=MAX_COMMAS + MAX_CONTAINERS)
        rows = list(enumerate(value if isinstance(value, list) else [value], 1))
    if len(rows) > MAX_ROWS:
        raise _too_many_rows()
    return rows


def _too_many_rows() -> APIError:
    return APIError(413, "The request has too many rows.", detail=f"The limit is {MAX_ROWS}.")


def _decoded(body: bytes, *, encoding: str) -> bytes:
    match encoding.strip().lower():
        case "" | "identity":
            return body
        case "gzip" | "x-gzip":
            return _inflated(body)
    raise APIError(
        415,
        "The request's content encoding is not supported.",
        detail=f"{encoding[:64]!r} is neither gzip nor identity.",
        headers={"Accept-Encoding": "gzip"},
    )


def _inflated(body: bytes) -> bytes:
    if body.count(MEMBER) > MAX_MEMBERS:
        raise APIError(413, "The request body has too many gzip members.")
    try:
        text = gzip.GzipFile(fileobj=io.BytesIO(body)).read(MAX_INFLATED_BYTES + 1)
    except (EOFError, OSError, zlib.error):
        raise APIError(400, "The request body is not valid gzip.") from None
    if len(text) > MAX_INFLATED_BYTES:
        detail = f"The limit is {MAX_INFLATED_BYTES} bytes after decompression."
        raise APIError(413, "The request body is too large.", detail=detail)
    return text


def _is_lines(text: bytes) -> bool:
    """Returns whether the body is JSON lines, and not a single JSON value."""
    first, _, rest = text.strip().partition(b"\n")
    return first.startswith(b"{") and first.rstrip().endswith(b"}") and bool(rest)
