"""Reads a request's body into rows: JSON or JSON lines, plain or gzip, all within bounds."""

from __future__ import annotations

import gzip
import io
import zlib

from kernel.http.body import MEBIBYTE, parse_json
from kernel.http.errors import APIError
from stats.ingest import rows
from stats.ingest.rows import Numbered

MAX_ROWS = 10_000
MAX_INFLATED_BYTES = 64 * MEBIBYTE
# A row has some dozens of members, and one object within it. What has far more must not be parsed
# only to be refused: tiny values take many times the memory of their text.
MAX_COMMAS = 300 * MAX_ROWS
MAX_CONTAINERS = 10 * MAX_ROWS
# Empty lines are no rows, but each takes its time.
MAX_LINES = 10 * MAX_ROWS
# Block-wise compressors make several. Of empty ones, eight megabytes would hold 400,000. Within
# what is compressed, the first bytes of one are found less than once in a body, by chance.
MAX_MEMBERS = 10_000
MEMBER = b"\x1f\x8b\x08"


def read_rows(body: bytes, *, encoding: str) -> list[Numbered]:
    """Returns the body's rows with their numbers from 1; of JSON lines, those of the lines.

    One JSON array is taken as its rows, one object as one row, several objects as JSON lines.

    Raises: APIError 400 (no JSON, broken gzip), 413 (too many rows, too much inflated), 415.
    """
    text = _decoded(body, encoding=encoding)
    containers = text.count(b"[") + text.count(b"{")
    if text.count(b",") > MAX_COMMAS or containers > MAX_CONTAINERS:
        raise _too_many_rows()
    found = _json_lines(text) if _is_lines(text) else _one_value(text)
    if len(found) > MAX_ROWS:
        raise _too_many_rows()
    return found


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
        detail = f"It may inflate to {MAX_INFLATED_BYTES} bytes."
        raise APIError(413, "The request body is too large.", detail=detail)
    return text


def _is_lines(text: bytes) -> bool:
    """Tells several JSON objects, a line each, from one JSON value."""
    first, _, rest = text.strip().partition(b"\n")
    return first.startswith(b"{") and first.rstrip().endswith(b"}") and bool(rest)


def _one_value(text: bytes) -> list[Numbered]:
    value = parse_json(text, max_values=MAX_COMMAS + MAX_CONTAINERS)
    return list(enumerate(value if isinstance(value, list) else [value], 1))


def _json_lines(text: bytes) -> list[Numbered]:
    if text.count(b"\n") > MAX_LINES:
        raise _too_many_rows()
    lines = [(n, line) for n, line in enumerate(text.split(b"\n"), 1) if line.strip()]
    if len(lines) > MAX_ROWS:
        raise _too_many_rows()
    return [(number, rows.parse_json(line)) for number, line in lines]
