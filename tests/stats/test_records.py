from __future__ import annotations

import csv
import io
import time
from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO, cast

import orjson
import pytest
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from deployment.stats.outcome import Rejection
from deployment.stats.reading_ahead import Ahead, parsed
from deployment.stats.records import (
    LONGEST_LINE,
    SHOWN_OF_TOO_LONG,
    FileError,
    Record,
    csv_records,
    json_records,
)
from deployment.stats.rows import WORKSPACE_MEMBERS, Member, error_text
from tests.support.stats_rows import workspace_row

MEMBERS = (Member("a", error_text, ""), Member("b", error_text, ""))
HEADER = b"a,b\r\n"
BOM = b"\xef\xbb\xbf"
FIELD_LIMIT = csv.field_size_limit()

# A record's number, its text, and its row, or None where it is bad.
type Seen = tuple[int, bytes, dict[str, str] | None]


def seen(records: Iterable[Record]) -> list[Seen]:
    return [(each.number, each.text, row_of(each)) for each in records]


def row_of(record: Record) -> Any:
    try:
        return record.read()
    except ValueError:
        return None


def from_csv(text: bytes, *, header: bytes = HEADER) -> list[Seen]:
    return seen(csv_records(io.BytesIO(header + text), members=MEMBERS))


def bad(number: int, text: bytes) -> Seen:
    return number, text, None


def good(number: int, text: bytes, **row: str) -> Seen:
    return number, text, row


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b'"x"y,1\r\n2,3\r\n', [bad(2, b'"x"y,1\r\n'), good(3, b"2,3\r\n", a="2", b="3")]),
        (
            b'1,"open\n2,3\n4,5',
            [
                bad(2, b'1,"open\n'),
                good(3, b"2,3\n", a="2", b="3"),
                good(4, b"4,5", a="4", b="5"),
            ],
        ),
        (b'1,2\n"open', [good(2, b"1,2\n", a="1", b="2"), bad(3, b'"open')]),
        (
            b'1,"open\n2,"x\ny"\n3,4\n',
            [
                bad(2, b'1,"open\n'),
                good(4, b'2,"x\ny"\n', a="2", b="x\ny"),
                good(5, b"3,4\n", a="3", b="4"),
            ],
        ),
        (
            b'1,"x\n"y\n2,3\n',
            [bad(2, b'1,"x\n'), bad(3, b'"y\n'), good(4, b"2,3\n", a="2", b="3")],
        ),
        (
            b"x" * (FIELD_LIMIT + 1) + b"\n1,2\n",
            [bad(2, b"x" * (FIELD_LIMIT + 1) + b"\n"), good(3, b"1,2\n", a="1", b="2")],
        ),
        (
            b"x," * LONGEST_LINE + b"\n1,2\n",
            [bad(2, b"x," * (SHOWN_OF_TOO_LONG // 2)), good(3, b"1,2\n", a="1", b="2")],
        ),
        (
            b'"open\n' + b"x" * (2 * LONGEST_LINE) + b"\n1,2\n",
            [
                bad(2, b'"open\n'),
                bad(3, b"x" * SHOWN_OF_TOO_LONG),
                good(4, b"1,2\n", a="1", b="2"),
            ],
        ),
        (b"\n\r\n1,2\n\n", [good(4, b"1,2\n", a="1", b="2")]),
        (b"1,2\r3,4\r", [good(2, b"1,2\r", a="1", b="2"), good(3, b"3,4\r", a="3", b="4")]),
        (b'"1\r\n",2\r\n', [good(3, b'"1\r\n",2\r\n', a="1\r\n", b="2")]),
        (b"1\n1,2,3\n", [bad(2, b"1\n"), bad(3, b"1,2,3\n")]),
        (
            b'\xff,"\xe2""\x82"\n\xc3\xa4,\n',
            [
                good(2, b'\xff,"\xe2""\x82"\n', a="\ufffd", b='\ufffd"\ufffd'),
                good(3, b"\xc3\xa4,\n", a="ä"),
            ],
        ),
        (b'\xff,"open\n', [bad(2, b'\xff,"open\n')]),
    ],
)
def test_a_broken_line_of_csv_is_bad_and_the_next_is_read(text: bytes, expected: Any) -> None:
    assert from_csv(text) == expected


@pytest.mark.parametrize(
    ("text", "reasons"),
    [
        (b'"x"y\n', ["is not CSV: ',' expected after '\"'"]),
        (
            b'"x\ny\nz"w\n',
            ["is not CSV: with what follows up to line 4: ',' expected after '\"'", "1", "1"],
        ),
        (
            b'x","\nx","\ny\n',
            ["with what follows up to line 4: unexpected end of data"] * 2 + ["1"],
        ),
        (b"x" * (FIELD_LIMIT + 1), [f"is not CSV: field larger than field limit ({FIELD_LIMIT})"]),
        (b"," * (LONGEST_LINE + 1), [f"is not CSV: longer than {LONGEST_LINE} characters"]),
    ],
)
def test_a_bad_line_says_why(text: bytes, reasons: list[str]) -> None:
    found = csv_records(io.BytesIO(HEADER + text), members=MEMBERS)
    for record, reason in zip(found, reasons, strict=True):
        with pytest.raises(ValueError) as raised:  # noqa: PT011 - what it says is looked at below
            record.read()
        assert reason in str(raised.value)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (b"", "names none of a, b"),
        (b"\na,b\n", "names none of a, b"),
        (b"c,d\na,b\n", "names none of a, b"),
        (b'"a"b,c\n', "header is not CSV: ',' expected"),
        (b'"a,b\n', "header is not CSV: unexpected end of data"),
        (b"a," * LONGEST_LINE, "header is not CSV: longer than"),
    ],
)
def test_a_broken_header_breaks_the_file(text: bytes, complaint: str) -> None:
    with pytest.raises(FileError, match=complaint):
        from_csv(text, header=b"")


@pytest.mark.parametrize("header", [b"a,b\n", b'"a","b"\n'])
def test_a_byte_order_mark_is_left_out_at_the_beginning_only(header: bytes) -> None:
    text = BOM + b"1,2\n"
    expected = [good(2, text, a="\ufeff1", b="2")]
    assert from_csv(text, header=BOM + header) == expected
    assert from_csv(text, header=header) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (BOM + b"{}\n" + BOM + b"{}", [(1, b"{}\n", {}), (2, BOM + b"{}", None)]),
        (BOM + b"\n{}", [(2, b"{}", {})]),
        (BOM, []),
        (
            BOM + b"x" * (2 * LONGEST_LINE) + b"\n{}",
            [(1, b"x" * SHOWN_OF_TOO_LONG, None), (2, b"{}", {})],
        ),
    ],
)
def test_a_byte_order_mark_before_json_is_left_out(text: bytes, expected: Any) -> None:
    assert seen(json_records(io.BytesIO(text))) == expected


class Endless(io.RawIOBase):
    """The same over and over, up to a number of bytes; it knows how many were read."""

    def __init__(self, text: bytes, *, size: int, begin: bytes = HEADER) -> None:
        self._text = text
        self._begin = begin
        self.left = size

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        some = self._begin or (self._text * (len(buffer) // len(self._text)))[: self.left]
        self._begin = b""
        buffer[: len(some)] = some
        self.left -= len(some)
        return len(some)


@pytest.mark.parametrize("text", [b"x", b",", b'"x', b'",\n"', b'x","\n'])
def test_no_more_is_read_for_a_record_than_a_bounded_part(text: bytes) -> None:
    size = 64 * LONGEST_LINE
    endless = Endless(text, size=size)
    source = cast("BinaryIO", io.BufferedReader(endless))
    if b"\n" in text:
        record = next(iter(csv_records(source, members=MEMBERS)))
        assert size - endless.left < 3 * LONGEST_LINE
    else:
        (record,) = csv_records(source, members=MEMBERS)
    assert len(record.text) <= SHOWN_OF_TOO_LONG
    assert row_of(record) is None


def test_lines_that_all_leave_a_quote_open_take_no_longer_than_others() -> None:
    """To look on from each of them up to the break would take hours."""
    lines = 200_000
    started = time.process_time()
    found = csv_records(io.BytesIO(HEADER + b'x","\n' * lines), members=MEMBERS)
    assert sum(row_of(record) is None for record in found) == lines
    assert time.process_time() - started < 20


FIELDS = st.text(st.sampled_from('a,"\r\n ä'), max_size=6)


def written(rows: Iterable[Iterable[str]]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()


@given(st.lists(st.tuples(FIELDS, FIELDS)))
def test_what_is_written_is_read_and_its_texts_are_the_file(rows: list[tuple[str, str]]) -> None:
    text = written(rows)
    found = from_csv(text)
    assert b"".join(each for _, each, _ in found) == text
    assert [row for _, _, row in found] == [
        {name: value for name, value in zip("ab", row, strict=True) if value} for row in rows
    ]


def lines_of(text: bytes) -> list[str]:
    return list(io.StringIO(text.decode("utf-8", "surrogateescape"), newline=""))


def raw_of(lines: Iterable[str]) -> bytes:
    return "".join(lines).encode("utf-8", "surrogateescape")


# Whoever comes to it with a quote open closes that at its first quote, and then no `x` may follow.
WALL = b'wall,"x"\r\n'
DAMAGES = st.sampled_from(['"x"y', '"', '""', 'x",","', '",', "\x00", '"a,', "\udcff", "a,b,c"])


@given(
    st.lists(st.tuples(FIELDS, FIELDS), min_size=1, max_size=8),
    st.lists(st.tuples(st.integers(0), st.integers(0), DAMAGES), max_size=4),
)
def test_every_row_that_touches_no_damage_is_read(
    rows: list[tuple[str, str]], damages: list[tuple[int, int, str]]
) -> None:
    """A quote that damage leaves open may well close in a row after it, but not past a wall."""
    parts = [lines_of(written([row])) for row in rows]
    damaged = {row % len(parts) for row, _, _ in damages}
    for row, line, damage in damages:
        part = parts[row % len(parts)]
        part[line % len(part)] = f"{damage}\r\n"
    texts = [raw_of(part) for part in parts]
    found = from_csv(b"".join(text + WALL for text in texts))
    kept = [b"" if at in damaged else text for at, text in enumerate(texts)]
    wanted = [each for text in kept for each in (text, WALL) if each]
    assert missing(wanted, [text for _, text, row in found if row is not None]) == []
    assert unbroken(b"".join(text for _, text, _ in found)) == unbroken(
        b"".join(text + WALL for text in texts)
    )


def missing(wanted: Iterable[bytes], found: Iterable[bytes]) -> list[bytes]:
    """What is wanted and not found, in this order."""
    rest = iter(found)
    return [each for each in wanted if each not in rest]


def unbroken(text: bytes) -> bytes:
    """The text without line breaks; those of empty lines are in no record."""
    return text.translate(None, b"\r\n")


def naively(text: bytes) -> Iterator[tuple[int, bytes, bool]]:
    """The records' numbers, texts, and whether they are CSV, looked for anew from each line on."""
    lines, at = lines_of(text), 0
    while at < len(lines):
        reader = csv.reader(lines[at:], strict=True)
        try:
            is_csv, empty = True, not next(reader)
            taken = reader.line_num
        except csv.Error:
            is_csv, empty, taken = False, False, 1
        if not empty:
            yield at + taken + 1, raw_of(lines[at : at + taken]), is_csv
        at += taken


PIECES = st.sampled_from(['"', '"', '""', ",", "\n", "\r\n", "\r", "a", "ä"])


@given(st.lists(PIECES, max_size=40).map(lambda pieces: "".join(pieces).encode()))
def test_any_text_comes_to_what_a_naive_reader_makes_of_it(text: bytes) -> None:
    reasons = [
        (each.number, each.text, "is not CSV" not in reason_of(each))
        for each in csv_records(io.BytesIO(HEADER + text), members=MEMBERS)
    ]
    assert reasons == list(naively(text))


def reason_of(record: Record) -> str:
    try:
        record.read()
    except ValueError as error:
        return str(error)
    return ""


@given(st.binary(max_size=60))
def test_no_bytes_are_lost(text: bytes) -> None:
    assert unbroken(b"".join(raw for _, raw, _ in from_csv(text))) == unbroken(text)


def test_a_member_is_not_named_twice() -> None:
    text = b"workspace_id,build_number\n00000000-0000-0000-0000-000000000001,x\n"
    found = list(csv_records(io.BytesIO(text), members=WORKSPACE_MEMBERS))
    assert parsed(found, kind="workspace").rejected == [
        Rejection(2, "build_number", "'x' is not its kind of value")
    ]


class BrokenError(Exception):
    pass


def breaking_after(number: int, *, error: Exception) -> Iterator[Record]:
    text = b"\n".join(orjson.dumps(workspace_row(each)) for each in range(number))
    yield from json_records(io.BytesIO(text))
    raise error


@pytest.mark.parametrize("error", [FileError("x"), OSError("x"), EOFError("x"), BrokenError("x")])
@pytest.mark.parametrize(("number", "sizes"), [(0, []), (1, [1]), (2, [2]), (5, [2, 2, 1])])
def test_what_was_read_before_a_break_comes_before_it_is_raised(
    monkeypatch: pytest.MonkeyPatch, number: int, sizes: list[int], error: Exception
) -> None:
    monkeypatch.setattr("deployment.stats.reading_ahead.BATCH_ROWS", 2)
    records = breaking_after(number, error=error)
    ahead = Ahead(records, kind="workspace", clock=timezone.now)
    for size in sizes:
        batch = ahead.take()
        assert batch is not None
        assert len(batch.stretch.records) == size
    with pytest.raises(type(error)) as raised:
        ahead.take()
    assert raised.value is error


class Breaking(io.RawIOBase):
    """A text, and then an error."""

    def __init__(self, text: bytes) -> None:
        self._text = io.BytesIO(text)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if found := self._text.readinto(buffer):
            return found
        raise OSError


def test_a_record_that_the_break_of_a_file_runs_through_is_none() -> None:
    """Else what was kept of how far the import came would not fit the whole file."""
    text = HEADER + b'1,2\n3,"open\n4,5\n'
    source = cast("BinaryIO", io.BufferedReader(Breaking(text)))
    records = csv_records(source, members=MEMBERS)
    assert next(records).text == b"1,2\n"
    with pytest.raises(OSError):  # noqa: PT011 - this one has no text
        next(records)
