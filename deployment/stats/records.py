"""Files of rows as records: JSON lines, or CSV with a header, one after the other."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Mapping
from typing import Any, BinaryIO, NamedTuple

import orjson

from deployment.stats.rows import Member, from_text

LONGEST_LINE = 1024 * 1024


class FileError(Exception):
    """A file that cannot be read as what it should be; the message says why."""


class Record(NamedTuple):
    """One record: the number of its (last) line from 1, its text, and how to make a row of it."""

    number: int
    text: bytes
    reader: Callable[[bytes], Any]

    def read(self) -> Any:
        """The row. Raises: ValueError with the reason where the text is none."""
        return self.reader(self.text)


def json_records(source: BinaryIO) -> Iterator[Record]:
    """A record for each line that is not empty, in bounded memory however long a line is."""
    number = 0
    while text := source.readline(LONGEST_LINE):
        number += 1
        if len(text) == LONGEST_LINE and not text.endswith(b"\n"):
            _skip_rest(source)
            yield Record(number, text[:1000], _too_long)
        elif text.strip():
            yield Record(number, text, _json)


def _skip_rest(source: BinaryIO) -> None:
    """Reads up to the end of the line."""
    while text := source.readline(LONGEST_LINE):
        if text.endswith(b"\n"):
            return


def _too_long(text: bytes) -> Any:
    raise ValueError(f"is longer than {LONGEST_LINE} bytes")


def _json(text: bytes) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise ValueError(f"is not JSON: {error.msg}") from None


def csv_records(source: BinaryIO, *, members: tuple[Member, ...]) -> Iterator[Record]:
    """A record for each line after the header, whose names are those of the members.

    Raises: FileError where the header or the CSV itself is broken.
    """
    text = io.TextIOWrapper(source, encoding="utf-8-sig", errors="replace", newline="")
    reader = csv.reader(text, strict=True)
    known = {member.name for member in members}
    try:
        header = next(reader, [])
        if not known.intersection(header):
            raise FileError(f"The first line names none of {', '.join(sorted(known))}.")
        for values in reader:
            if values:
                yield _csv_record(reader.line_num, header, values, members=members)
    except csv.Error as error:
        raise FileError(f"Line {reader.line_num} is not CSV: {error}.") from None
    finally:
        text.detach()  # It would close the file, of which others still want to know.


def _csv_record(
    number: int, header: list[str], values: list[str], *, members: tuple[Member, ...]
) -> Record:
    def read(text: bytes) -> Mapping[str, Any]:
        if len(values) != len(header):
            raise ValueError(f"has {len(values)} values for {len(header)} columns")
        return from_text(dict(zip(header, values, strict=True)), members=members)

    return Record(number, ",".join(values).encode(), read)
