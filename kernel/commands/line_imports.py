"""Reads the lines of a file for imports: limits their length, counts them, and collects bad lines.

A file has JSON lines or CSV with a header. The first line determines the format. A file is
decompressed if its name ends in `.gz` or `.zst`. `-` is standard input. An import is a subclass of
`LinesCommand`:

    class Command(LinesCommand):
        def ingest(self, source: Source, *, bad: BadLines, progress: Progress) -> ImportResult:
            rows = 0
            for batch in batched(records(source, columns=("id", "name")), 10_000):
                ...  # call bad.add(record, reason) for bad records; commit the others
                rows += ...
                progress.advance(len(batch))
            return ImportResult(f"{rows} rows imported.", good=rows)

In a record, `text` is the record's part of the file, and `number` is the number of its first line.
`error` is the reason why the record cannot be read. The import parses JSON itself. For CSV,
`values` has the record's values by column name. If the import has its own parser for usual lines of
CSV, `row` is the result of this parser, and `values` is None.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import os
import sys
import time
import zlib
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from itertools import chain, count
from pathlib import Path
from typing import IO, Any, BinaryIO, ClassVar, NamedTuple, Self, cast

import orjson
from django.core.management.base import CommandError, CommandParser
from tqdm import tqdm

from kernel.commands import BaseCommand
from kernel.text.humanize import plural

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

STANDARD_INPUT = "-"
MAX_LINE_BYTES = 1024 * 1024
SYSTEM_FOLDERS = frozenset({"dev", "proc", "run", "sys"})
# If a line is too long, only this number of its bytes is kept.
SHOWN_BYTES = 1000
MAX_SHOWN = 80
# The interval of progress reports if the output is not a terminal.
REPORT_SECONDS = 10.0
JSON_SUFFIXES = frozenset({".json", ".jsonl", ".ndjson"})
DELIMITERS = ",;\t"
NOT_TEXT = "The file is not UTF-8 text."


class LinesError(Exception):
    """A file cannot be imported. The message has the file, the cause, and the remedy."""


class Record(NamedTuple):
    """One record of a file. Units: `size` is its length in bytes after decompression."""

    number: int
    text: bytes
    size: int
    error: str = ""
    values: dict[str, str] | None = None
    row: Any = None


@dataclass(frozen=True, slots=True)
class Source:
    """An open file. `contents` is decompressed, `raw` is not.

    `size` is the size of `raw` in bytes, or None if it is unknown.
    """

    name: str
    contents: BinaryIO
    raw: BinaryIO
    size: int | None


BROKEN_FILE = (OSError, EOFError, zlib.error, zstd.ZstdError)


@contextmanager
def opened(file: str) -> Iterator[Source]:
    """Opens the file, or standard input for `-`.

    Raises: LinesError if the file cannot be opened, or cannot be read or decompressed in the block.
    """
    try:
        if file == STANDARD_INPUT:
            # If a thread were reading sys.stdin, Python would wait for it at exit. So open a new
            # stream, and do not close it.
            own = open(sys.stdin.fileno(), "rb", closefd=False)  # noqa: SIM115
            yield Source(file, own, own, None)
            return
        path = Path(file)
        with path.open("rb") as raw:
            size = path.stat().st_size if path.is_file() else None
            yield Source(file, _decompressed(raw, path), raw, size)
    except BROKEN_FILE as error:
        name = getattr(error, "filename", None) or file
        raise LinesError(f"{name}: {getattr(error, 'strerror', None) or error}.") from None


def _decompressed(raw: io.BufferedReader, path: Path) -> BinaryIO:
    if path.suffix == ".gz":
        return cast("BinaryIO", io.BufferedReader(gzip.GzipFile(fileobj=raw)))
    if path.suffix == ".zst":
        return cast("BinaryIO", io.BufferedReader(zstd.ZstdFile(raw)))
    return raw


# check(column_names, line_number) raises LinesError if the header is not valid.
type Check = Callable[[Collection[str], int], None]
# usual(column_names, delimiter) returns a function that parses a line, whose number is the first
# argument. The function returns None for a line that csv.reader must parse.
type ParseLine = Callable[[int, bytes], Any]
type Usual = Callable[[Sequence[str], str], ParseLine | None]


def records(
    source: Source,
    *,
    columns: Collection[str] = (),
    needed: Collection[str] = (),
    check: Check | None = None,
    usual: Usual | None = None,
) -> Iterator[Record]:
    """Yields the file's records: JSON lines, or CSV with a header.

    CSV is accepted only if `columns` is given. `check` may reject a header. Raises: LinesError for
    UTF-16, for a JSON array if CSV is accepted, and for CSV without a header or without a `needed`
    column.
    """
    lines = _lines(source.contents)
    first = next((line for line in lines if line.text.strip()), None)
    if first is None:
        return
    if first.text.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise LinesError(NOT_TEXT)
    begin = first.text.lstrip()[:1]
    if columns and begin == b"[":
        raise LinesError(
            f"{source.name} is one JSON array. Make a line of each object: jq -c '.[]'."
        )
    is_json = begin == b"{" or JSON_SUFFIXES.intersection(Path(source.name).suffixes)
    if is_json or not columns:
        yield from (record for record in chain([first], lines) if record.text.strip())
        return
    header, delimiter = _header(first, columns=columns, needed=needed, check=check)
    parse = usual(header, delimiter) if usual else None
    # Made once, because making it takes as long as parsing a record.
    dialect: Any = csv.reader((), delimiter=delimiter, strict=True).dialect
    for line in lines:
        if parse and not line.error and (row := parse(line.number, line.text)):
            yield Record(line.number, line.text, line.size, "", None, row)
        elif line.text.strip(b"\r\n"):
            yield _csv_record(line, lines, header, dialect)


def _lines(contents: BinaryIO) -> Iterator[Record]:
    """Yields every line. Truncates lines that are too long, and removes a byte order mark."""
    for number in count(1):
        text = part = contents.readline(MAX_LINE_BYTES + 1)
        if not text:
            return
        size, error = len(text), ""
        if number == 1:
            text = text.removeprefix(codecs.BOM_UTF8)
        if size > MAX_LINE_BYTES and not text.endswith(b"\n"):
            text, error = text[:SHOWN_BYTES], f"is longer than {MAX_LINE_BYTES} bytes"
            while part and not part.endswith(b"\n"):
                part = contents.readline(MAX_LINE_BYTES)
                size += len(part)
        yield Record(number, text, size, error)


# --- CSV --------------------------------------------------------------------------------------


def _header(
    first: Record, *, columns: Collection[str], needed: Collection[str], check: Check | None
) -> tuple[list[str], str]:
    """Returns the column names, and the delimiter that they have.

    Raises: LinesError if the header contains none of the `columns`, lacks a `needed` column, or
    repeats one of the `columns`.
    """
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
    return header, delimiter


def _names(text: bytes, delimiter: str) -> list[str]:
    """Returns the column names in lower case, or [] if the line is not valid CSV."""
    with suppress(csv.Error, StopIteration):
        row = next(csv.reader([text.decode("utf-8", "replace")], delimiter=delimiter, strict=True))
        return [name.lower() for name in row]
    return []


def _no_header(text: bytes, *, expected: Collection[str]) -> str:
    start = text.decode("utf-8", "replace")
    if "\0" in start or "\ufffd" in start:
        return NOT_TEXT
    start = start[:MAX_SHOWN].rstrip("\r\n")
    return (
        f"The first line is neither a JSON object nor a CSV header: {start!r}. A header names "
        f"columns such as {', '.join(expected)}; --help shows an example."
    )


def _csv_record(first: Record, lines: Iterator[Record], header: list[str], dialect: Any) -> Record:
    """Reads the record that begins with the line `first`.

    If a quote is not closed, csv.reader reads further lines until they are not valid CSV, are too
    long, or the file ends. These lines are then one bad record, and the next line starts a
    new record.
    """
    read: list[Record] = []
    size = 0

    def texts() -> Iterator[str]:
        nonlocal size
        for line in chain([first], lines):
            read.append(line)
            size += line.size
            if line.error or (len(read) > 1 and size > MAX_LINE_BYTES):
                raise csv.Error(f"is longer than {MAX_LINE_BYTES} bytes")
            yield line.text.decode("utf-8", "replace")

    error, values = "", None
    try:
        row = next(csv.reader(texts(), dialect))
        if len(row) == len(header):
            values = dict(zip(header, row, strict=True))
        else:
            error = f"has {plural(len(row), 'value')} for {plural(len(header), 'column')}"
    except csv.Error as problem:
        error = f"is not CSV: {problem}"
        if len(read) > 1:
            error += f". Is a quote open? {plural(len(read), 'line')} set aside"
    text = b"".join(line.text for line in read)
    return Record(first.number, text, size, first.error or error, values)


# --- Bad lines, progress, the command ---------------------------------------------------------


def beside(file: str) -> Path:
    """Returns the default file for bad lines: FILE.rejected.

    For a pipe, a device or a file in a system directory, it is in the working directory.
    """
    if file == STANDARD_INPUT:
        return Path("stdin.rejected")
    path = Path(file)
    top, *below = path.absolute().parts[1:]
    # /dev/stdin may be a link to a plain file. /dev/shm has the files of users.
    is_system = top in SYSTEM_FOLDERS and below[:1] != ["shm"]
    is_plain = path.is_file() and not is_system
    return Path(f"{path if is_plain else path.name}.rejected")


class BadLines:
    """The file for bad records. It is created when the first bad record is added.

    Shape of a line: {"line": number, "field": name or "", "detail": reason, "text": the record}.
    """

    def __init__(self, path: Path, *, source: Source, append: bool = False) -> None:
        """Raises: LinesError if the directory does not exist, or if `path` is the imported file."""
        if not path.parent.is_dir():
            raise LinesError(f"{path}: the directory {path.parent} does not exist.")
        if path.exists() and source.size is not None and path.samefile(source.name):
            raise LinesError(f"{path} is being read. Name another file for bad lines.")
        self.path = path
        self.count = 0
        self.first = ""
        self._mode = "a" if append else "w"
        self._file: IO[str] | None = None

    def close(self) -> None:
        if self._file:
            self._file.close()

    def add(self, record: Record, detail: str, *, field: str = "") -> None:
        """Writes the record at once, before the import commits the other records of its batch."""
        self._file = self._file or self.path.open(self._mode, encoding="utf-8")
        text = record.text.decode("utf-8", "replace").rstrip("\r\n")
        entry = {"line": record.number, "field": field, "detail": detail, "text": text}
        self._file.write(orjson.dumps(entry).decode() + os.linesep)
        self._file.flush()
        self.count += 1
        why = f"{field}: {detail}" if field else detail
        self.first = self.first or f"line {record.number}: {why.removesuffix('.')}"


class Progress:
    """Counts the processed records. On a terminal, shows a progress bar."""

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
        """Closes the progress bar. Raises: LinesError after Ctrl-C."""
        self._bar.close()
        if kind is KeyboardInterrupt:
            raise LinesError(
                f"Stopped after {self}. Committed lines stay imported. Run the same command "
                "again to continue."
            ) from None

    def __str__(self) -> str:
        size, share = self._source.size, ""
        if size:
            share = f" ({100 * self._source.raw.tell() // size} % of the file)"
        return f"{plural(self._done, 'line')}{share}"

    def advance(self, number: int) -> None:
        """Adds a number of records to the processed ones, and updates the display."""
        self._done += number
        source = self._source
        self._bar.update(number if source.size is None else source.raw.tell() - self._bar.n)
        if self._bar.disable and self._clock() >= self._reported_at + REPORT_SECONDS:
            self._reported_at = self._clock()
            sys.stderr.write(f"{Path(source.name).name}: {self} so far\n")
            sys.stderr.flush()


class ImportResult(NamedTuple):
    """The result of an import. `good` is the number of valid rows that are now in the database."""

    summary: str
    good: int


class LinesCommand(BaseCommand):
    """The base class of commands that import the lines of a file.

    `formats` describes the supported formats of a line, each with an example. The summary has the
    numbers of imported and of bad lines.
    """

    expected = (LinesError,)
    fails_if = "nothing was imported, or if there were bad lines"
    # If true, bad lines are appended to the file of an earlier run. Otherwise, the file is
    # replaced.
    adds_bad_lines: ClassVar[bool] = False

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "file",
            metavar="FILE",
            help="the file to import, or - for standard input; .gz and .zst are decompressed",
        )
        parser.add_argument(
            "--bad-lines",
            type=Path,
            metavar="PATH",
            help="the file for bad lines, with their numbers and errors; the default is "
            f"FILE.rejected, or {beside(STANDARD_INPUT)} for standard input",
        )

    def handle(self, *, file: str, bad_lines: Path | None, **options: Any) -> str:
        with (
            opened(file) as source,
            closing(
                BadLines(bad_lines or beside(file), source=source, append=self.adds_bad_lines)
            ) as bad,
            Progress(source) as progress,
        ):
            result = self.ingest(source, bad=bad, progress=progress)
        summary = result.summary
        if bad.count:
            summary += f" {bad.count} bad, set aside in {bad.path}; the first is {bad.first}."
        if not result.good:
            summary += " Nothing was imported; --help shows what is expected."
        if bad.count or not result.good:
            raise CommandError(summary)
        return summary

    def ingest(self, source: Source, *, bad: BadLines, progress: Progress) -> ImportResult:
        """Imports valid lines, and adds bad lines to `bad`. Raises: LinesError, OSError."""
        raise NotImplementedError
