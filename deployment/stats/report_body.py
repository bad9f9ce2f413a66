"""Reading a request's body into rows: JSON or JSON lines, plain or gzip, all within bounds."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator

import orjson

from coderapi.errors import APIError
from coderapi.limits import MEBIBYTE
from coderapi.parsing import parse_json
from deployment.stats.outcome import Rejection
from deployment.stats.rows import Numbered

MOST_ROWS = 10_000
MOST_INFLATED = 64 * MEBIBYTE
# A row has some dozens of members. What has far more must not be parsed only to be refused: tiny
# values take many times the memory of their text.
MOST_COMMAS = 300 * MOST_ROWS
GZIP = 31  # zlib's window bits for gzip alone


def read_rows(body: bytes, *, encoding: str, unreadable: list[Rejection]) -> list[Numbered]:
    """The body's rows with their numbers from 1; of JSON lines, those of the lines.

    One JSON array is taken as its rows, one object as one row, several objects as JSON lines, of
    which those that are no JSON go to `unreadable`.

    Raises: APIError 400 (no JSON, broken gzip), 413 (too many rows, too much inflated), 415.
    """
    text = _decoded(body, encoding=encoding)
    rows = _json_lines(text, unreadable=unreadable) if _is_lines(text) else _one_value(text)
    if len(rows) + len(unreadable) > MOST_ROWS:
        raise _too_many_rows()
    return rows


def _too_many_rows() -> APIError:
    return APIError(413, "The request has too many rows.", detail=f"The limit is {MOST_ROWS}.")


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
    """The contents of each gzip member, one after the other."""
    left = MOST_INFLATED
    while body:
        member = zlib.decompressobj(GZIP)
        try:
            text = member.decompress(body, left + 1)
        except zlib.error:
            raise _broken_gzip() from None
        left -= len(text)
        if left < 0:
            raise APIError(
                413,
                "The request body is too large.",
                detail=f"It may inflate to {MOST_INFLATED} bytes.",
            )
        if not member.eof:
            raise _broken_gzip()
        yield text
        body = member.unused_data


def _broken_gzip() -> APIError:
    return APIError(400, "The request body is not valid gzip.")


def _is_lines(text: bytes) -> bool:
    """Whether it is several JSON objects, a line each, rather than one JSON value."""
    first, _, rest = text.strip().partition(b"\n")
    return first.startswith(b"{") and first.rstrip().endswith(b"}") and bool(rest)


def _one_value(text: bytes) -> list[Numbered]:
    if text.count(b",") > MOST_COMMAS:
        raise _too_many_rows()
    value = parse_json(text)
    return list(enumerate(value if isinstance(value, list) else [value], 1))


def _json_lines(text: bytes, *, unreadable: list[Rejection]) -> list[Numbered]:
    if text.count(b"\n{") >= MOST_ROWS:
        raise _too_many_rows()
    lines = text.rstrip().split(b"\n")
    try:
        return list(enumerate(map(orjson.loads, lines), 1))
    except orjson.JSONDecodeError:
        return list(_parsed(lines, unreadable=unreadable))


def _parsed(lines: Iterable[bytes], *, unreadable: list[Rejection]) -> Iterator[Numbered]:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            yield number, orjson.loads(line)
        except orjson.JSONDecodeError as error:
            unreadable.append(Rejection(number, "", f"is not JSON: {error.msg}"))
