"""Reads the lines of a file for every import: bounded, counted, with bad lines set aside.

A file has JSON lines or CSV with a header; its beginning shows which. It is plain or compressed, as
its name says (`.gz`, `.zst`). `-` is standard input. An import is a command on `LinesCommand`:

    class Command(LinesCommand):
        def ingest(self, source: Source, *, bad: BadLines, progress: Progress) -> ImportResult:
            rows = 0
            for batch in batched(records(source, columns=("id", "name")), 10_000):
                ...  # call bad.add(record, reason) for bad records; commit the others
                rows += ...
                progress.advance(len(batch))
            return ImportResult(f"{rows} rows imported.", good=rows)

A record's `text` is its part of the file, and its `number` is that of its first line. `error` says
why it cannot be read. JSON is left for the import to parse; CSV has its `values` by column name.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import os
import re
import sys
import time
import zlib
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import IO, Any, BinaryIO, ClassVar, NamedTuple, Self, cast

import orjson
from django.core.management.base import CommandError, CommandParser
from tqdm import tqdm

from kernel.commands import BaseCommand, HelpFormatter
from kernel.humanize import plural

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

STANDARD_INPUT = "-"
MAX_LINE_BYTES = 1024 * 1024
SYSTEM_FOLDERS = frozenset({"dev", "proc", "run", "sys"})
# The part of a line that is too long which is set aside.
SHOWN_BYTES = 1000
MAX_SHOWN = 80
# Off a terminal, an import reports its progress this often.
REPORT_SECONDS = 10.0
JSON_SUFFIXES = frozenset({".json", ".jsonl", ".ndjson"})
DELIMITERS = ",;\t"
NOT_TEXT = "The file is not UTF-8 text."
# The first bytes of compressed files, by suffix. In zstd a skippable frame may come first.
PACKINGS = {
    ".gz": ("gzip", re.compile(rb"\x1f\x8b")),
    ".zst": ("zstd", re.compile(rb"\x28\xb5\x2f\xfd|[\x50-\x5f]\x2a\x4d\x18")),
}


class LinesError(Exception):
    """A file cannot be read to its end. The message says which, why, and what to do."""


class Record(NamedTuple):
    """One record of a file. Units: `size` is in bytes of the decompressed file."""

    number: int
    text: bytes
    size: int
    error: str = ""
    values: dict[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Source:
    """An open file: `contents` decompressed, `raw` as on disk. `size` is None if unknown."""

    name: str
    contents: BinaryIO
    raw: BinaryIO
    size: int | None


BROKEN_FILE = (OSError, EOFError, zlib.error, zstd.ZstdError)


@contextmanager
def failures_named(file: str) -> Iterator[None]:
    """Raises LinesError for a file that is damaged or cannot be opened or read."""
    try:
        yield
    except BROKEN_FILE as error:
        name = getattr(error, "filename", None) or file
        raise LinesError(f"{name}: {getattr(error, 'strerror', None) or error}.") from None


@contextmanager
def opened(file: str) -> Iterator[Source]:
    """Opens the file, or standard input for `-`. Raises: LinesError, OSError."""
    if file == STANDARD_INPUT:
        own = _standard_input()
        yield Source(file, own, own, None)
        return
    path = Path(file)
    with path.open("rb") as raw:
        size = path.stat().st_size if path.is_file() else None
        yield Source(file, _decompressed(raw, path), raw, size)


def _standard_input() -> BinaryIO:
    """Opens standard input again: Python's exit would wait for a thread that reads its own."""
    try:
        return open(sys.stdin.fileno(), "rb", closefd=False)
    except OSError:
        return sys.stdin.buffer  # It has no descriptor.


def _decompressed(raw: io.BufferedReader, path: Path) -> BinaryIO:
    if path.suffix not in PACKINGS:
        return raw
    form, begin = PACKINGS[path.suffix]
    if (start := raw.peek(4)) and not begin.match(start):
        raise LinesError(f"{path} is not a {form} file.")
    if path.suffix == ".gz":
        return cast("BinaryIO", io.BufferedReader(gzip.GzipFile(fileobj=raw)))
    return cast("BinaryIO", io.BufferedReader(zstd.ZstdFile(raw)))


# Raises LinesError for the column names of the line with that number.
type Check = Callable[[Collection[str], int], None]


def records(
    source: Source,
    *,
    columns: Collection[str] = (),
    needed: Collection[str] = (),
    check: Check | None = None,
) -> Iterator[Record]:
    """Yields the file's records: JSON lines, or CSV if it may have `columns` and looks like it.

    `check` may reject a header. Raises: LinesError for UTF-16, for one JSON array, and for CSV
    without a header or without a column that is `needed`.
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
        yield from _csv_records(every, columns=columns, needed=needed, check=check)


def _lines(contents: BinaryIO) -> Iterator[Record]:
    """Yields every line. Cuts those that are too long, and removes a byte order mark."""
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
    """Reads to the end of the line. Returns the number of bytes."""
    size = 0
    while text := contents.readline(MAX_LINE_BYTES):
        size += len(text)
        if text.endswith(b"\n"):
            break
    return size


# --- CSV --------------------------------------------------------------------------------------


def _csv_records(
    lines: Iterator[Record],
    *,
    columns: Collection[str],
    needed: Collection[str],
    check: Check | None,
) -> Iterator[Record]:
    """Yields the records after the header, which shows the delimiter.

    Raises: LinesError if the header lacks all `columns` or a `needed` one, or repeats a column.
    """
    first = next(lines)
    if first.error:
        raise LinesError(f"The first line {first.error}.")
    headers = {delimiter: _names(first.text, delimiter) for delimiter in DELIMITERS}
    delimiter = max(DELIMITERS, key=lambda each: len(set(columns).intersection(headers[each])))
    header = headers[delimiter]
    if not set(columns).intersection(header):
        raise LinesError(_no_header(first.text, expected=needed or columns))
    if check:
        check(header, first.number)
    if missing := [name for name in needed if name not in header]:
        raise LinesError(f"The header has no column {', '.join(missing)}. See --help.")
    if twice := [name for name in columns if header.count(name) > 1]:
        raise LinesError(f"The header has column {', '.join(twice)} more than once.")
    texts = _Texts(lines)
    reader = csv.DictReader(texts, header, delimiter=delimiter, strict=True)
    return iter(lambda: texts.next_record(reader), None)


def _names(text: bytes, delimiter: str) -> list[str]:
    """Returns the column names in lower case, or none if the text is no CSV of the delimiter."""
    with suppress(csv.Error, StopIteration):
        row = next(csv.reader([text.decode("utf-8", "replace")], delimiter=delimiter, strict=True))
        return [name.lower() for name in row]
    return []


def _no_header(text: bytes, *, expected: Collection[str]) -> str:
    try:
        is_text = "\0" not in text.decode()
    except UnicodeDecodeError:
        is_text = False
    if not is_text:
        return NOT_TEXT
    start = text[:MAX_SHOWN].decode("utf-8", "replace").rstrip("\r\n")
    return (
        f"The first line is neither a JSON object nor a CSV header: {start!r}. A header names "
        f"columns such as {', '.join(expected)}; --help shows an example."
    )


class _Texts(Iterator[str]):
    """Feeds lines to csv.DictReader, and keeps those of the record that it reads.

    An open quote takes in the lines after it until they make no CSV any more, are too many, or the
    file ends. The record is then bad, with all of its lines, and the next line begins another one.
    """

    def __init__(self, lines: Iterator[Record]) -> None:
        self._lines = lines
        self._read: list[Record] = []
        self._size = 0

    def __next__(self) -> str:
        line = next(self._lines)
        while not (self._read or line.text.strip(b"\r\n")):
            line = next(self._lines)
        self._read.append(line)
        self._size += line.size
        if line.error or (len(self._read) > 1 and self._size > MAX_LINE_BYTES):
            raise csv.Error(f"is longer than {MAX_LINE_BYTES} bytes")
        return line.text.decode("utf-8", "replace")

    def next_record(self, reader: csv.DictReader[str]) -> Record | None:
        """Returns the next record, or None at the end."""
        self._read, self._size = [], 0
        try:
            values = next(reader)
        except StopIteration:
            return None
        except csv.Error as error:
            return self._record(error=self._why(error))
        return self._record(values=values, error=_count_problem(values))

    def _record(self, *, error: str, values: dict[str, str] | None = None) -> Record:
        text = b"".join(line.text for line in self._read)
        return Record(self._read[0].number, text, self._size, error, None if error else values)

    def _why(self, error: csv.Error) -> str:
        first = self._read[0]
        if len(self._read) == 1:
            return first.error or f"is not CSV: {error}"
        return f"is not CSV: {error}. Is a quote open? {len(self._read)} lines are set aside"


def _count_problem(row: dict[Any, Any]) -> str:
    """Returns what is wrong with the number of values, or "". DictReader keeps those too many."""
    more = len(row.pop(None, ()))
    values = sum(value is not None for value in row.values()) + more
    return "" if values == len(row) else f"has {values} values for {len(row)} columns"


# --- Bad lines, progress, the command ---------------------------------------------------------


def beside(file: str) -> Path:
    """Returns the default file for bad lines: FILE.rejected.

    For a pipe, a device or a file of the system, it is in the working directory.
    """
    if file == STANDARD_INPUT:
        return Path("stdin.rejected")
    path = Path(file)
    is_plain = path.is_file() and path.absolute().parts[1] not in SYSTEM_FOLDERS
    return Path(f"{path if is_plain else path.name}.rejected")


class BadLines:
    """The file for bad records. It is created with the first one.

    Shape of a line: {"line": number, "field": name or "", "detail": reason, "text": the record}.
    """

    def __init__(self, path: Path, *, source: Source, append: bool = False) -> None:
        """Raises: LinesError if the directory does not exist, or the file is the one read."""
        if not path.parent.is_dir():
            raise LinesError(f"{path}: the directory {path.parent} does not exist.")
        if path.exists() and source.size is not None and path.samefile(source.name):
            raise LinesError(f"{path} is being read. Name another file for bad lines.")
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
        """Writes the record to disk, before the import commits the records around it."""
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
    """Counts the records that are done, and shows them: on a terminal as a bar, else by lines."""

    def __init__(self, source: Source, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._source = source
        self._clock = clock
        self._reported_at = clock()
        self._done = 0
        self._bar: tqdm[Any] = tqdm(
            total=source.size,
            unit=" lines" if source.size is None else "B",
            unit_scale=True,
            desc=Path(source.name).name,
            disable=None,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *raised: object) -> None:
        """Closes the bar. Raises: LinesError for Ctrl-C."""
        self._bar.close()
        if kind is KeyboardInterrupt:
            raise LinesError(
                f"Stopped after {self}. What was committed stays; run the same command again to "
                "continue."
            ) from None

    def __str__(self) -> str:
        size, share = self._source.size, ""
        if size:
            share = f" ({100 * self._source.raw.tell() // size} % of the file)"
        return f"{plural(self._done, 'line')}{share}"

    def advance(self, number: int) -> None:
        """Adds a number of records to those that are done."""
        self._done += number
        source = self._source
        self._bar.update(number if source.size is None else source.raw.tell() - self._bar.n)
        if self._bar.disable and self._clock() >= self._reported_at + REPORT_SECONDS:
            self._reported_at = self._clock()
            sys.stderr.write(f"{Path(source.name).name}: {self} so far\n")
            sys.stderr.flush()


class ImportResult(NamedTuple):
    """The outcome of an import. `good` counts the rows that are in the database now."""

    summary: str
    good: int


class _Formatter(HelpFormatter):
    """Does not wrap a text of several lines, so that its examples of rows stay whole."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return text if "\n" in text else super()._fill_text(text, width, indent)


class LinesCommand(BaseCommand):
    """An import of a file's lines.

    Its exit status is 1 if it imported nothing or set lines aside. Its summary counts them.
    """

    # Adds bad lines to those of earlier runs instead of replacing them.
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
            help="the file, decompressed if its name ends in .gz or .zst, or - for standard input",
        )
        parser.add_argument(
            "--bad-lines",
            type=Path,
            metavar="PATH",
            help="the file for bad lines, with number and reason; by default FILE.rejected, and "
            f"{beside(STANDARD_INPUT)} for standard input",
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
                result = self.ingest(source, bad=bad, progress=progress)
        except LinesError as error:
            raise CommandError(str(error)) from None
        summary = result.summary
        if bad.count:
            summary += f" {bad.count} bad, set aside in {bad.path}; the first is {bad.first}."
        if not result.good:
            summary += " Nothing was imported; --help shows what is expected."
        if bad.count or not result.good:
            raise CommandError(summary)
        return summary

    def ingest(self, source: Source, *, bad: BadLines, progress: Progress) -> ImportResult:
        """Imports every good line, and sets the others aside. Raises: LinesError, OSError."""
        raise NotImplementedError
