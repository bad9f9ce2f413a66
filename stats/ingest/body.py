"""Parses the body of a request into rows: JSON or JSON lines, plain or gzip, within limits."""

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
# A row has some dozens of members and one nested object. A body with far more values is rejected
# before it is parsed, because tiny values take many times the memory of their text.
MAX_COMMAS = 300 * MAX_ROWS
MAX_CONTAINERS = 10 * MAX_ROWS
# Empty lines are skipped, but skipping them takes time.
MAX_LINES = 10 * MAX_ROWS
# Block-wise compressors write several gzip members. Eight megabytes could hold 400,000 empty ones.
# By chance, compressed data contains the first bytes of a member less than once in a body.
MAX_MEMBERS = 10_000
MEMBER = b"\x1f\x8b\x08"


def read_rows(body: bytes, *, encoding: str) -> list[Numbered]:
    """Returns the rows with their numbers from 1. In JSON lines, these are line numbers.

    A JSON array has a row in each item, an object is one row, several objects are JSON lines.

    Raises: APIError 400 (invalid JSON or gzip), 413 (too many rows, too large inflated), 415.
    """
    text = _decoded(body, encoding=encoding)
    containers = text.count(b"[") + text.count(b"{")
    if text.count(b",") > MAX_COMMAS or containers > MAX_CONTAINERS:
        raise _too_many_rows()
    rows = _json_lines(text) if _is_lines(text) else _one_value(text)
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
    """Returns whether the text is several JSON objects, one a line, and not one JSON value."""
    first, _, rest = text.strip().partition(b"\n")
    return first.startswith(b"{") and first.rstrip().endswith(b"}") and bool(rest)


def _one_value(text: bytes) -> list[Numbered]:
    value = bodies.parse_json(text, max_values=MAX_COMMAS + MAX_CONTAINERS)
    return list(enumerate(value if isinstance(value, list) else [value], 1))


def _json_lines(text: bytes) -> list[Numbered]:
    if text.count(b"\n") > MAX_LINES:
        raise _too_many_rows()
    lines = [(n, line) for n, line in enumerate(text.split(b"\n"), 1) if line.strip()]
    if len(lines) > MAX_ROWS:
        raise _too_many_rows()
    return [(number, parse_json(line)) for number, line in lines]
