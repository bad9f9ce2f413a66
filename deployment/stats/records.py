"""Files of rows as records: JSON lines, or CSV with a header, one after the other."""

from __future__ import annotations

import codecs
import csv
import io
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import Any, BinaryIO, NamedTuple, TextIO

import orjson

from deployment.stats.rows import Member, from_text

LONGEST_LINE = 1024 * 1024
SHOWN_OF_TOO_LONG = 1000


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
        is_cut = len(text) == LONGEST_LINE and not text.endswith(b"\n")
        if number == 1:
            text = text.removeprefix(codecs.BOM_UTF8)
        if is_cut:
            _skip_rest(source)
            yield Record(number, text[:SHOWN_OF_TOO_LONG], _too_long)
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
    """A record for each one after the header, whose names are those of the members.

    Of one that is broken, the line that it begins with is a bad record, and the line after that
    begins the next, as nobody knows where it was to end. Memory is bounded.

    Raises: FileError where the header is broken or names no member.
    """
    # What is not UTF-8 comes as surrogates, from which the file's own bytes can be had again.
    file = io.TextIOWrapper(source, encoding="utf-8-sig", errors="surrogateescape", newline="")
    try:
        lines = _Lines(file)
        header = _header(lines, members=members)
        number = len(lines.take())
        while True:
            try:
                for values in csv.reader(lines, strict=True):
                    text = lines.take()
                    number += len(text)
                    if values:
                        yield _csv_record(number, "".join(text), header, values, members=members)
                return
            except csv.Error as error:
                number += 1
                yield lines.broken(number, error)
    finally:
        file.detach()  # It would close the source, of which others still want to know.


def _header(lines: _Lines, *, members: tuple[Member, ...]) -> list[str]:
    known = {member.name for member in members}
    try:
        header = next(csv.reader(lines, strict=True), [])
    except csv.Error as error:
        raise FileError(f"The header is not CSV: {error}.") from None
    if not known.intersection(header):
        raise FileError(f"The first line names none of {', '.join(sorted(known))}.")
    return header


class _Lines:
    """The lines of a file for a CSV parser, those after a broken one once more for the next.

    A parser asks for another line of the same record only where a quote is open.
    """

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._again: deque[str] = deque()
        self._taken: list[str] = []
        self._size = 0
        self._reason = ""

    def __iter__(self) -> Iterator[str]:
        """Raises: csv.Error where a record goes on for too long, or is known to be broken."""
        again, readline = self._again, self._file.readline
        while True:
            if self._taken:
                self._go_on()
            line = again.popleft() if again else readline(LONGEST_LINE + 1)
            if not line:
                return
            self._taken.append(line)
            if len(line) > LONGEST_LINE:
                self._refuse(line)
            yield line

    def _go_on(self) -> None:
        if self._again:
            # A parser has been here before, with a quote open after this line as well. It found a
            # break, and so would this one: to look that far for each line could take for ever.
            raise csv.Error(self._reason)
        self._size = len(self._taken[-1]) + (self._size if len(self._taken) > 1 else 0)
        if self._size > LONGEST_LINE:
            raise csv.Error(f"longer than {LONGEST_LINE} characters")

    def _refuse(self, line: str) -> None:
        """Leaves out the rest of a line that is too long; of one that comes again, none is left."""
        self._taken[-1] = line + "\n"
        while line and not line.endswith(("\r", "\n")):
            line = self._file.readline(LONGEST_LINE)
        raise csv.Error(f"longer than {LONGEST_LINE} characters")

    def take(self) -> list[str]:
        """The lines of the last record. The next line begins another."""
        taken, self._taken = self._taken, []
        return taken

    def broken(self, number: int, error: csv.Error) -> Record:
        """A bad record of the last one's first line, which has this number."""
        first, *others = self.take()
        reason = str(error)
        if others:
            reason = f"with what follows up to line {number + len(others)}: {error}"
            self._again.extend(others)
            self._reason = reason
        shown = SHOWN_OF_TOO_LONG if len(first) > LONGEST_LINE else None
        return Record(number, _as_in_file(first[:shown]), _no_csv(reason))


def _as_in_file(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _no_csv(reason: str) -> Callable[[bytes], Any]:
    def read(text: bytes) -> Any:
        raise ValueError(f"is not CSV: {reason}")

    return read


def _csv_record(
    number: int, line: str, header: list[str], values: list[str], *, members: tuple[Member, ...]
) -> Record:
    try:
        text = line.encode()
    except UnicodeEncodeError:
        text = _as_in_file(line)
        values = [_as_in_file(value).decode("utf-8", "replace") for value in values]

    def read(text: bytes) -> Mapping[str, Any]:
        if len(values) != len(header):
            raise ValueError(f"has {len(values)} values for {len(header)} columns")
        return from_text(dict(zip(header, values, strict=True)), members=members)

    return Record(number, text, read)
