"""Lines of imported files: good records are read, bad ones are reported."""

from __future__ import annotations

import csv
import gzip
import io
import os
import sys
from contextlib import closing
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel.commands.line_imports import (
    MAX_LINE_BYTES,
    SHOWN_BYTES,
    BadLines,
    LinesError,
    Progress,
    Record,
    Source,
    beside,
    opened,
    records,
)

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

HEADER = b"a,b\r\n"
BOM, QUOTED = b"\xef\xbb\xbf", b'"a","b"\n'
COLUMNS = ("a", "b")


# The number, the text and the values of a record. The values of a bad record are None.
type Seen = tuple[int, bytes, dict[str, str] | None]


def source_of(contents: Any, *, name: str = "rows.csv") -> Source:
    return Source(name, contents, contents, None)


def from_csv(text: bytes, *, header: bytes = HEADER) -> list[Record]:
    return list(records(source_of(io.BytesIO(header + text)), columns=COLUMNS))


def from_json(text: bytes) -> list[Record]:
    return list(records(source_of(io.BytesIO(text), name="rows.jsonl")))


GOOD = {"a": "1", "b": "2"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b'"x"y,1\r\n1,2\r\n', [(2, b'"x"y,1\r\n', None), (3, b"1,2\r\n", GOOD)]),
        (b'1,2\n1,"open\n2,3', [(2, b"1,2\n", GOOD), (3, b'1,"open\n2,3', None)]),
        (
            b'1,"open\n2,"x\ny"\n1,2\n',
            [(2, b'1,"open\n2,"x\n', None), (4, b'y"\n', None), (5, b"1,2\n", GOOD)],
        ),
        (b'a"b,c\n1,2\n', [(2, b'a"b,c\n', {"a": 'a"b', "b": "c"}), (3, b"1,2\n", GOOD)]),
        (
            b"x," * MAX_LINE_BYTES + b"\n1,2\n",
            [(2, b"x," * (SHOWN_BYTES // 2), None), (3, b"1,2\n", GOOD)],
        ),
        (
            b'"open\n' + b"x" * (2 * MAX_LINE_BYTES) + b"\n1,2\n",
            [(2, b'"open\n' + b"x" * SHOWN_BYTES, None), (4, b"1,2\n", GOOD)],
        ),
        (b"\n\r\n1,2\n\n", [(4, b"1,2\n", GOOD)]),
        (b'"1\r\n",2\r\n', [(2, b'"1\r\n",2\r\n', {"a": "1\r\n", "b": "2"})]),
        (b"1\n1,2,3\n", [(2, b"1\n", None), (3, b"1,2,3\n", None)]),
        (b'\xff,"\xe2"\n', [(2, b'\xff,"\xe2"\n', {"a": "\ufffd", "b": "\ufffd"})]),
    ],
)
def test_a_record_with_a_stray_quote_is_bad_with_all_its_lines(
    text: bytes, expected: list[Seen]
) -> None:
    found = from_csv(text)
    assert [(r.number, r.text, None if r.error else r.values) for r in found] == expected


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b'"x"y\n', "is not CSV: ',' expected after '\"'"),
        (b'1,"open\n', "is not CSV: unexpected end of data"),
        (b'1,"open\n1,2\n', "is not CSV: unexpected end of data. Is a quote open? 2 lines"),
        (b"1,2,3\n", "has 3 values for 2 columns"),
        (b"1\n", "has 1 value for 2 columns"),
        (b"x" * (MAX_LINE_BYTES + 1), f"is longer than {MAX_LINE_BYTES} bytes"),
        (b"x" * (csv.field_size_limit() + 1) + b"\n", "is not CSV: field larger than field limit"),
    ],
)
def test_a_bad_record_says_why(text: bytes, reason: str) -> None:
    (record,) = from_csv(text)
    assert record.error.startswith(reason)


NO_UTF_8 = "^The file is not UTF-8 text.$"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (b"c,d\na,b\n", "CSV header: 'c,d'. A header names columns such as a, b"),
        *[(text.encode("utf-16"), NO_UTF_8) for text in ("a,b\n1,2\n", '{"a": 1}')],
        (b"\x7fELF\x02\x00", NO_UTF_8),
        (b"\xe4,\xf6\n", NO_UTF_8),
        (b'"a"b,c\n', "CSV header"),
        (b'"a,b\n', "CSV header"),
        (b"x" * 999, f": '{'x' * 80}'"),
        (b"a," * MAX_LINE_BYTES, "first line is longer than"),
        (b"[\n{}\n]", "rows.csv is one JSON array"),
        (b"a,b,a\n1,2,3\n", "The header has column a more than once"),
        (b"a,c\n1,2\n", "The header has no column b"),
    ],
)
def test_a_broken_header_breaks_the_file(text: bytes, complaint: str) -> None:
    with pytest.raises(LinesError, match=complaint):
        list(records(source_of(io.BytesIO(text)), columns=COLUMNS, needed=COLUMNS))


@pytest.mark.parametrize(
    ("header", "line", "values"),
    [
        *[
            (
                delimiter.join([b'"c;c"', b"b", b"a"]) + b"\n",
                delimiter.join([b"1", b"2", b'"3,;\t"']) + b"\n",
                {"c;c": "1", "b": "2", "a": "3,;\t"},
            )
            for delimiter in (b",", b";", b"\t")
        ],
        (b"A,B\n", b"1,X\n", {"a": "1", "b": "X"}),
        # A byte order mark is removed at the beginning only.
        *[
            (BOM + names, BOM + b"1,2\n", {"a": "\ufeff1", "b": "2"})
            for names in (b"a,b\n", QUOTED)
        ],
    ],
)
def test_header_shows_the_delimiter_and_may_have_capitals(
    header: bytes, line: bytes, values: dict[str, str]
) -> None:
    (record,) = from_csv(line, header=header)
    assert record.values == values


@pytest.mark.parametrize(
    ("name", "text", "seen_as"),
    [
        ("-", b'\n {"a": 1}\n', "JSON"),
        ("-", b"a,b\n1,2\n", "CSV"),
        ("rows.csv", b'{"a": 1}\n', "JSON"),
        ("rows.txt", b"b\n1\n", "CSV"),
        ("rows.jsonl.gz", b'broken"}\n{"a": 1}\n', "JSON"),
        ("rows.csv", b"\n\n", "nothing"),
    ],
)
def test_form_is_recognized_by_the_beginning_of_the_file(
    name: str, text: bytes, seen_as: str
) -> None:
    found = list(records(source_of(io.BytesIO(text), name=name), columns=COLUMNS))
    assert {"CSV" if record.values else "JSON" for record in found} == {seen_as} - {"nothing"}


def test_json_lines_are_numbered_and_empty_ones_skipped() -> None:
    found = from_json(b"{}\n\n  \n{broken\n" + b"x" * (2 * MAX_LINE_BYTES) + b"\n{}")
    assert [(r.number, r.text[:7], bool(r.error)) for r in found] == [
        (1, b"{}\n", False),
        (4, b"{broken", False),
        (5, b"xxxxxxx", True),
        (6, b"{}", False),
    ]
    assert found[2].size == 2 * MAX_LINE_BYTES + 1
    assert [r.text for r in from_json(BOM + b"{}\n" + BOM + b"{}")] == [b"{}\n", BOM + b"{}"]


class Endless(io.RawIOBase):
    """Repeats a text up to a number of bytes."""

    def __init__(self, text: bytes, *, size: int) -> None:
        self._text, self._begin, self.left = text, HEADER, size

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        some = self._begin or (self._text * (len(buffer) // len(self._text)))[: self.left]
        self._begin = b""
        buffer[: len(some)] = some
        self.left -= len(some)
        return len(some)


@pytest.mark.parametrize("text", [b"x", b",", b'"x', b'",\n"', b'x","\n', b'"\n\n\n'])
def test_reading_one_record_is_bounded(text: bytes) -> None:
    size = 16 * MAX_LINE_BYTES
    endless = Endless(text, size=size)
    found = records(source_of(io.BufferedReader(endless)), columns=COLUMNS)
    record = next(found)
    assert len(record.text) <= 3 * MAX_LINE_BYTES
    if b"\n" in text:
        assert size - endless.left < 3 * MAX_LINE_BYTES


FIELDS = st.text(st.sampled_from('a,"\r\n ä'), max_size=6)


@given(st.lists(st.tuples(FIELDS, FIELDS)))
def test_written_rows_are_read_again_with_their_texts(rows: list[tuple[str, str]]) -> None:
    written = io.StringIO()
    csv.writer(written).writerows(rows)
    text = written.getvalue().encode()
    found = from_csv(text)
    assert b"".join(record.text for record in found) == text
    assert [r.values for r in found] == [dict(zip("ab", row, strict=True)) for row in rows]


@given(st.binary(max_size=60))
def test_no_bytes_are_lost(text: bytes) -> None:
    found = b"".join(record.text for record in from_csv(text))
    assert found.translate(None, b"\r\n") == text.translate(None, b"\r\n")


@pytest.mark.parametrize(
    ("name", "contents", "complaint"),
    [
        ("rows.jsonl", None, "No such file"),
        ("rows.jsonl.gz", b"no gzip", "rows.jsonl.gz: Not a gzipped file"),
        ("rows.jsonl.gz", gzip.compress(b"{}" * 99, mtime=0)[:-9], "ended before"),
        ("rows.jsonl.zst", b"no zstd", "rows.jsonl.zst: Unable to decompress"),
        ("rows.jsonl.zst", zstd.compress(b"{}")[:-1], "ended before"),
    ],
)
def test_a_broken_file_is_named(
    tmp_path: Path, name: str, contents: bytes | None, complaint: str
) -> None:
    path = tmp_path / name
    if contents is not None:
        path.write_bytes(contents)
    with pytest.raises(LinesError, match=complaint), opened(str(path)) as source:
        list(records(source, columns=COLUMNS))


def test_stopped_import_says_how_far_it_came(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b"{}\n" * 4)

    def interrupted() -> None:
        with opened(str(path)) as source, Progress(source) as progress:
            source.raw.seek(6)
            progress.advance(2)
            raise KeyboardInterrupt

    stopped = r"^Stopped after 2 lines \(50 % of the file\)\. Committed"
    with pytest.raises(LinesError, match=stopped):
        interrupted()


def test_import_off_a_terminal_reports_every_ten_seconds(
    capsys: pytest.CaptureFixture[str],
) -> None:
    seconds = iter([0.0, 9.0, 10.0, 10.0, 19.0, 20.0, 20.0])
    progress = Progress(source_of(io.BytesIO()), clock=lambda: next(seconds))
    for _ in range(4):
        progress.advance(1000)
    reports = "rows.csv: 2,000 lines so far\nrows.csv: 4,000 lines so far\n"
    assert capsys.readouterr().err == reports


def test_file_for_bad_lines_stays_open(tmp_path: Path) -> None:
    pipe = tmp_path / "bad"
    os.mkfifo(pipe)
    descriptor = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb", buffering=0) as reader:
        with closing(BadLines(pipe, source=source_of(io.BytesIO()))) as bad:
            for number in (1, 2):
                bad.add(Record(number, b"x", 1), "is wrong")
                assert orjson.loads(reader.read(1000) or b"")["line"] == number
                # At the end of the pipe, this would be b"".
                assert reader.read(1) is None
        assert reader.read(1) == b""


def test_bad_lines_never_overwrite_the_imported_file(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b"{}")
    with opened(str(path)) as source:
        with pytest.raises(LinesError, match="is being read"):
            BadLines(path, source=source)
        with pytest.raises(LinesError, match="does not exist"):
            BadLines(tmp_path / "no" / "such", source=source)


def test_bad_lines_go_beside_plain_files_only(tmp_path: Path) -> None:
    plain, pipe = tmp_path / "rows.jsonl", tmp_path / "pipe"
    plain.touch()
    os.mkfifo(pipe)
    assert beside(str(plain)) == tmp_path / "rows.jsonl.rejected"
    for odd, name in ((pipe, "pipe"), ("/dev/null", "null")):
        assert beside(str(odd)) == Path(f"{name}.rejected")
    with plain.open() as file:
        link = f"/dev/fd/{file.fileno()}"
        assert beside(link) == Path(f"{file.fileno()}.rejected")
    with NamedTemporaryFile(dir="/dev/shm") as in_memory:
        assert beside(in_memory.name) == Path(f"{in_memory.name}.rejected")
