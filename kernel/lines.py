"""Reads the lines of a file for every import: bounded, counted, the bad ones set aside.

A file holds JSON lines, or CSV with a header: what it begins with tells. It is plain, or packed as
its name says (`.gz`, `.zst`). `-` is standard input. An import is a command on `LinesCommand`:

    class Command(LinesCommand):
        def take_in(self, source: Source, *, bad: BadLines, progress: Progress) -> ImportResult:
            taken = 0
            for some in batched(records(source, columns=("id", "name")), 10_000):
                ...  # take in some; call bad.add(record, reason) for what is bad; commit
                taken += ...
                progress.advance(len(some))
            return ImportResult(f"{taken} rows taken in.", good=taken)

A record's `text` is as it stands in the file, and its `number` is that of its last line. `error`
says why it cannot be read at all. Of JSON, the text is left for the import to parse; of CSV, the
`values` are there by the header's names.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import importlib
import io
import os
import re
import sys
import zlib
from collections import deque
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from types import ModuleType
from typing import IO, Any, BinaryIO, ClassVar, NamedTuple, Self, cast

import orjson
from django.core.management.base import CommandError, CommandParser
from tqdm import tqdm

from kernel.commands import BaseCommand, HelpFormatter

STANDARD_INPUT = "-"
MAX_LINE_BYTES = 1024 * 1024
SYSTEM_FOLDERS = frozenset({"dev", "proc", "run", "sys"})
# A line that is too long is kept and set aside up to here.
SHOWN_BYTES = 1000
MAX_SHOWN = 80
JSON_SUFFIXES = frozenset({".json", ".jsonl", ".ndjson"})
DELIMITERS = ",;\t"
NOT_TEXT = "The file is not UTF-8 text."
# How packed files begin, by the ends of their names. In zstd a skippable frame may come first.
PACKINGS = {
    ".gz": ("gzip", re.compile(rb"\x1f\x8b")),
    ".zst": ("zstd", re.compile(rb"\x28\xb5\x2f\xfd|[\x50-\x5f]\x2a\x4d\x18")),
}


class LinesError(Exception):
    """A file that cannot be read to its end; the message says which, why, and what to do."""


class Record(NamedTuple):
    """One record of a file. Units: `size` bytes of the unpacked file."""

    number: int
    text: bytes
    size: int
    error: str = ""
    values: dict[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Source:
    """An open file: `contents` unpacked, `raw` as on disk. `size` is None where nobody knows."""

    name: str
    contents: BinaryIO
    raw: BinaryIO
    size: int | None


def _zstd() -> ModuleType | None:
    """Returns Python's zstd of 3.14 on, or the package with the same interface."""
    for module in ("compression.zstd", "backports.zstd"):
        with suppress(ModuleNotFoundError):
            return importlib.import_module(module)
    return None


ZSTD = _zstd()
BROKEN_FILE = (OSError, EOFError, zlib.error, *([ZSTD.ZstdError] if ZSTD else []))


@contextmanager
def failures_named(file: str) -> Iterator[None]:
    """Raises LinesError for what goes wrong with the file, and for Ctrl-C."""
    try:
        yield
    except KeyboardInterrupt:
        raise LinesError(
            "Stopped. What was committed stays; run the same command again to go on."
        ) from None
    except BROKEN_FILE as error:
        name = getattr(error, "filename", None) or file
        raise LinesError(f"{name}: {getattr(error, 'strerror', None) or error}.") from None


@contextmanager
def opened(file: str) -> Iterator[Source]:
    """Opens the file of that name, or standard input. Raises: LinesError, OSError."""
    if file == STANDARD_INPUT:
        own = _standard_input()
        yield Source(file, own, own, None)
        return
    path = Path(file)
    with path.open("rb") as raw:
        size = path.stat().st_size if path.is_file() else None
        yield Source(file, _unpacked(raw, path), raw, size)


def _standard_input() -> BinaryIO:
    """Opens standard input once more: at its exit, Python waits for who reads its own one."""
    try:
        return open(sys.stdin.fileno(), "rb", closefd=False)
    except OSError:
        return sys.stdin.buffer  # It is no file of the system's.


def _unpacked(raw: io.BufferedReader, path: Path) -> BinaryIO:
    if path.suffix not in PACKINGS:
        return raw
    form, begin = PACKINGS[path.suffix]
    if (start := raw.peek(4)) and not begin.match(start):
        raise LinesError(f"{path} is not a {form} file.")
    if path.suffix == ".gz":
        return cast("BinaryIO", io.BufferedReader(gzip.GzipFile(fileobj=raw)))
    if ZSTD is None:
        raise LinesError("To read .zst files, install backports.zstd.")
    return cast("BinaryIO", io.BufferedReader(ZSTD.ZstdFile(raw)))


# Raises LinesError for the names of columns in the line of that number.
type Check = Callable[[Collection[str], int], None]


def records(
    source: Source,
    *,
    columns: Collection[str] = (),
    needed: Collection[str] = (),
    check: Check | None = None,
) -> Iterator[Record]:
    """Yields the file's records: JSON lines, or CSV if it may have `columns` and looks like it.

    `check` may refuse a header of CSV. Raises: LinesError for UTF-16 and for one JSON array, and
    where the CSV has no header, or not all that are `needed`.
    """
    lines = _lines(source.contents)
    first = next((line for line in lines if line.text.strip()), None)
    if first is None:
        return
    if first.text.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise LinesError(NOT_TEXT)
    begin, every = first.text.lstrip()[:1], chain([first], lines)
    if columns and begin == b"[":
        raise LinesError(
            f"{source.name} is one JSON array. Make a line of each object: jq -c '.[]'."
        )
    is_json = begin == b"{" or JSON_SUFFIXES.intersection(Path(source.name).suffixes)
    if is_json or not columns:
        yield from (record for record in every if record.text.strip())
    else:
        found = csv_records(every, columns=columns, needed=needed, check=check)
        yield from (record for record in found if record.text.strip(b"\r\n"))


def _lines(contents: BinaryIO) -> Iterator[Record]:
    """Yields every line, cut where it is too long, without a byte order mark before the first."""
    number = 0
    while text := contents.readline(MAX_LINE_BYTES + 1):
        number += 1
        size, error = len(text), ""
        if number == 1:
            text = text.removeprefix(codecs.BOM_UTF8)
        if size > MAX_LINE_BYTES and not text.endswith(b"\n"):
            size += _skip_rest(contents)
            text, error = text[:SHOWN_BYTES], f"is longer than {MAX_LINE_BYTES} bytes"
        yield Record(number, text, size, error)


def _skip_rest(contents: BinaryIO) -> int:
    """Reads up to the end of the line. Returns the number of bytes."""
    size = 0
    while text := contents.readline(MAX_LINE_BYTES):
        size += len(text)
        if text.endswith(b"\n"):
            break
    return size


def csv_records(
    lines: Iterator[Record],
    *,
    columns: Collection[str],
    needed: Collection[str] = (),
    check: Check | None = None,
) -> Iterator[Record]:
    """Yields a record for each one after the header, which tells what stands between values.

    Raises: LinesError where the header has none of `columns`, one of them twice, or not all that
    are `needed`.
    """
    first = next(lines, None)
    if first is None or first.error:
        raise LinesError(f"The first line {first.error if first else 'is missing'}.")
    headers = {delimiter: _names(first.text, delimiter) for delimiter in DELIMITERS}
    delimiter = max(DELIMITERS, key=lambda each: len(set(columns).intersection(headers[each])))
    header = headers[delimiter]
    if not set(columns).intersection(header):
        if not _is_text(first.text):
            raise LinesError(NOT_TEXT)
        start = first.text[:MAX_SHOWN].decode("utf-8", "replace").rstrip("\r\n")
        raise LinesError(
            f"The first line is neither a JSON object nor a header of CSV: {start!r}. A header "
            f"names columns such as {', '.join(needed or columns)}; --help shows an example."
        )
    if check:
        check(header, first.number)
    if missing := [name for name in needed if name not in header]:
        raise LinesError(
            f"The header has no column {', '.join(missing)}; --help shows what is expected."
        )
    if twice := [name for name in columns if header.count(name) > 1]:
        raise LinesError(f"The header has column {', '.join(twice)} more than once.")
    reader = _CSVReader(lines, header=header, delimiter=delimiter)
    return iter(reader.read, None)


def _names(text: bytes, delimiter: str) -> list[str]:
    """Returns the names of a header in lower case, or none where it is not of that delimiter."""
    with suppress(csv.Error):
        return [name.lower() for name in _row(text, delimiter)]
    return []


def _is_text(text: bytes) -> bool:
    try:
        return "\0" not in text.decode()
    except UnicodeDecodeError:
        return False


def _row(text: bytes, delimiter: str) -> list[str]:
    """Returns the values of a text that is one record. Raises: csv.Error where it is not one."""
    record = [text.decode("utf-8", "replace")]
    return next(csv.reader(record, delimiter=delimiter, strict=True), [])


class _CSVReader:
    """Reads a record at a time. One whose quotes are not closed is its first line, and is bad.

    A record ends with the first line that makes the number of quotes even. If there is none within
    MAX_LINE_BYTES, or if what ends there is no record, the lines after the first are read again.
    Those that were looked at have no quotes left open but for the last, so that no line is looked
    at more than twice, whatever the file holds.
    """

    def __init__(self, lines: Iterator[Record], *, header: list[str], delimiter: str) -> None:
        self._lines, self._header, self._delimiter = lines, header, delimiter
        self._again: deque[Record] = deque()

    def read(self) -> Record | None:
        """Returns the next record, or None at the end."""
        first = self._next()
        if first is None or first.error:
            return first
        try:
            return self._parsed(first)
        except csv.Error as error:
            if _quotes(first) % 2 == 0:
                return first._replace(error=f"is not CSV: {error}")
        return self._of_several_lines(first)

    def _next(self) -> Record | None:
        return self._again.popleft() if self._again else next(self._lines, None)

    def _of_several_lines(self, first: Record) -> Record:
        lines, quotes, size = [first], _quotes(first), first.size
        while quotes % 2 and size <= MAX_LINE_BYTES and (line := self._next()):
            lines.append(line)
            quotes, size = quotes + _quotes(line), size + line.size
            if line.error:
                break
        try:
            if quotes % 2 or lines[-1].error:
                raise csv.Error("a quote is not closed")
            whole = b"".join(line.text for line in lines)
            return self._parsed(Record(lines[-1].number, whole, size))
        except csv.Error as error:
            self._again.extendleft(reversed(lines[1:]))
            return first._replace(error=f"is not CSV: {error}")

    def _parsed(self, record: Record) -> Record:
        """Returns the record with its values. Raises: csv.Error for a text that is none."""
        values, header = _row(record.text, self._delimiter), self._header
        if len(values) == len(header):
            return record._replace(values=dict(zip(header, values, strict=True)))
        if not values:  # an empty line, which is no record
            return record
        return record._replace(error=f"has {len(values)} values for {len(header)} columns")


def _quotes(line: Record) -> int:
    return line.text.count(b'"')


def beside(file: str) -> Path:
    """Returns where bad lines go unless a place is named: FILE.rejected.

    Of a pipe, a device or a file of the system they go to the working directory.
    """
    if file == STANDARD_INPUT:
        return Path("stdin.rejected")
    path = Path(file)
    is_plain = path.is_file() and path.absolute().parts[1] not in SYSTEM_FOLDERS
    return Path(f"{path if is_plain else path.name}.rejected")


class BadLines:
    """The file that bad records are written to, made when the first one comes.

    Shape of a line: {"line": number, "field": name or "", "detail": reason, "text": the record}.
    """

    def __init__(self, path: Path, *, source: Source, append: bool = False) -> None:
        """Raises: LinesError where there is no such directory, or the file is the one read."""
        if not path.parent.is_dir():
            raise LinesError(f"{path}: there is no directory {path.parent}.")
        if path.exists() and source.size is not None and path.samefile(source.name):
            raise LinesError(f"{path} is being read; name another file for bad lines.")
        self.path = path
        self.count = 0
        self.first = ""
        self._mode = "a" if append else "w"
        self._file: IO[str] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        if self._file is not None:
            self._file.close()

    def add(self, record: Record, detail: str, *, field: str = "") -> None:
        """Writes the record down. It is on disk before the import commits what is around it."""
        if self._file is None:
            self._file = self.path.open(self._mode, encoding="utf-8")
        text = record.text.decode("utf-8", "replace").rstrip("\r\n")
        entry = {"line": record.number, "field": field, "detail": detail, "text": text}
        self._file.write(orjson.dumps(entry).decode() + os.linesep)
        self._file.flush()
        self.count += 1
        why = f"{field}: {detail}" if field else detail
        self.first = self.first or f"line {record.number}: {why.removesuffix('.')}"


class Progress:
    """A progress bar on a terminal: of bytes where the file's size is known, else of records."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._bar: tqdm[Any] = tqdm(
            total=source.size,
            unit=" lines" if source.size is None else "B",
            unit_scale=True,
            desc=Path(source.name).name,
            disable=None,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self._bar.close()

    def advance(self, number: int) -> None:
        """Shows that so many records more are done with."""
        source = self._source
        self._bar.update(number if source.size is None else source.raw.tell() - self._bar.n)


class ImportResult(NamedTuple):
    """The outcome of an import. `good` counts the rows that are there now, new or known."""

    said: str
    good: int


class _Formatter(HelpFormatter):
    """Leaves a text of several lines as it is, so that examples of rows stay whole."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return text if "\n" in text else super()._fill_text(text, width, indent)


class LinesCommand(BaseCommand):
    """An import of a file's lines.

    It ends with exit status 1 if nothing was taken in or lines were set aside, and says how many
    and where they are.
    """

    # Bad lines are added to those of earlier runs, or else take their place.
    adds_bad_lines: ClassVar[bool] = False
    # The forms of a line, with an example each, for `--help`.
    formats: ClassVar[str]

    def create_parser(self, *names: str, **options: Any) -> CommandParser:
        parser = super().create_parser(*names, formatter_class=_Formatter, **options)
        parser.epilog = f"{parser.epilog}\n\n{self.formats}"
        return parser

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "file",
            metavar="FILE",
            help="The file, unpacked where its name ends in .gz or .zst, or - for standard input.",
        )
        parser.add_argument(
            "--bad-lines",
            type=Path,
            metavar="PATH",
            help="Where bad lines go, with number and reason; by default to FILE.rejected, and to "
            f"{beside(STANDARD_INPUT)} for standard input.",
        )

    def handle(self, *, file: str, bad_lines: Path | None, **options: Any) -> str:
        try:
            with (
                failures_named(file),
                opened(file) as source,
                BadLines(
                    bad_lines or beside(file), source=source, append=self.adds_bad_lines
                ) as bad,
                Progress(source) as progress,
            ):
                taken = self.take_in(source, bad=bad, progress=progress)
        except LinesError as error:
            raise CommandError(str(error)) from None
        said = taken.said
        if bad.count:
            said += f" {bad.count} bad, set aside in {bad.path}; the first is {bad.first}."
        if not taken.good:
            said += " Nothing was taken in; --help shows what is expected."
        if bad.count or not taken.good:
            raise CommandError(said)
        return said

    def take_in(self, source: Source, *, bad: BadLines, progress: Progress) -> ImportResult:
        """Takes in every good line, and sets the others aside. Raises: LinesError, OSError."""
        raise NotImplementedError
