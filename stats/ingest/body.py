"""Reads a request's body into rows: JSON or JSON lines, plain or gzip, all within bounds."""

from __future__ import annotations

import io
import zlib
from collections.abc import Iterable, Iterator

import orjson

from kernel.http.body import MEBIBYTE
from kernel.http.errors import APIError
from kernel.http.parsing import parse_json
from stats.ingest.rows import Numbered, Rejection

MAX_ROWS = 10_000
MAX_INFLATED_BYTES = 64 * MEBIBYTE
# A row has some dozens of members. What has far more must not be parsed only to be refused: tiny
# values take many times the memory of their text.
MAX_COMMAS = 300 * MAX_ROWS
# Empty lines are no rows, but each takes its time.
MAX_LINES = 10 * MAX_ROWS
# Such as block-wise compressors make; of an empty one, eight megabytes would hold 400,000.
MAX_MEMBERS = 10_000
PIECE_BYTES = 4096
GZIP = 31  # zlib's window bits for gzip alone


def read_rows(body: bytes, *, encoding: str, unreadable: list[Rejection]) -> list[Numbered]:
    """Returns the body's rows with their numbers from 1; of JSON lines, those of the lines.

    One JSON array is taken as its rows, one object as one row, several objects as JSON lines.
    Lines that are no JSON go to `unreadable`.

    Raises: APIError 400 (no JSON, broken gzip), 413 (too many rows, too much inflated), 415.
    """
    text = _decoded(body, encoding=encoding)
    if text.count(b",") > MAX_COMMAS:
        raise _too_many_rows()
    rows = _json_lines(text, unreadable=unreadable) if _is_lines(text) else _one_value(text)
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
            return b"".join(_inflated(body))
    raise APIError(
        415,
        "The request's content encoding is not supported.",
        detail=f"{encoding[:64]!r} is neither gzip nor identity.",
        headers={"Accept-Encoding": "gzip"},
    )


def _inflated(body: bytes) -> Iterator[bytes]:
    """Yields the contents of each gzip member, one after the other."""
    left, members, file = MAX_INFLATED_BYTES, 0, io.BytesIO(body)
    while file.tell() < len(body):
        members += 1
        if members > MAX_MEMBERS:
            raise APIError(413, "The request body has too many gzip members.")
        for text in _inflated_member(file, limit=left):
            left -= len(text)
            yield text


def _inflated_member(file: io.BytesIO, *, limit: int) -> Iterator[bytes]:
    """Yields the contents of the member that begins where the file is. Leaves the file behind it.

    Raises: APIError 400 where it is broken or cut off, 413 where it inflates to more.
    """
    member = zlib.decompressobj(GZIP)
    while not member.eof:
        piece = file.read(PIECE_BYTES)
        try:
            text = member.decompress(piece, limit + 1)
        except zlib.error:
            raise _broken_gzip() from None
        limit -= len(text)
        if limit < 0:
            raise APIError(
                413,
                "The request body is too large.",
                detail=f"It may inflate to {MAX_INFLATED_BYTES} bytes.",
            )
        if not (piece or text or member.eof):
            raise _broken_gzip()
        yield text
    # What follows is the next member. With all of it at once, each would copy all that is left.
    file.seek(-len(member.unused_data), io.SEEK_CUR)


def _broken_gzip() -> APIError:
    return APIError(400, "The request body is not valid gzip.")


def _is_lines(text: bytes) -> bool:
    """Tells several JSON objects, a line each, from one JSON value."""
    first, _, rest = text.strip().partition(b"\n")
    return first.startswith(b"{") and first.rstrip().endswith(b"}") and bool(rest)


def _one_value(text: bytes) -> list[Numbered]:
    value = parse_json(text)
    return list(enumerate(value if isinstance(value, list) else [value], 1))


def _json_lines(text: bytes, *, unreadable: list[Rejection]) -> list[Numbered]:
    if text.count(b"\n") > MAX_LINES:
        raise _too_many_rows()
    lines = [(n, line) for n, line in enumerate(text.split(b"\n"), 1) if line.strip()]
    if len(lines) > MAX_ROWS:
        raise _too_many_rows()
    try:
        return [(number, orjson.loads(line)) for number, line in lines]
    except orjson.JSONDecodeError:
        return list(_parsed(lines, unreadable=unreadable))


def _parsed(
    lines: Iterable[tuple[int, bytes]], *, unreadable: list[Rejection]
) -> Iterator[Numbered]:
    for number, line in lines:
        try:
            yield number, orjson.loads(line)
        except orjson.JSONDecodeError as error:
            unreadable.append(Rejection(number, "", f"is not JSON: {error.msg}"))
