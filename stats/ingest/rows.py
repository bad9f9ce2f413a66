"""Parses agent rows and workspace states, and rejects invalid rows.

Rows are numbered from 1. Errors contain the number of the row.

An agent row is converted to a line in the text format of COPY. Most rows have the usual format, and
a single regular expression validates a whole row: a line of CSV, or the JSON array of the values of
an object. If a row does not match, each of its members is parsed separately. This takes several
times as long, but it accepts all formats and finds the invalid member.

A row counts its sessions in one of two ways, depending on the release of Coder that wrote it: in
four members `session_count_…`, or by application in the member `session_counts`. Both are stored in
the same columns.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from operator import itemgetter
from typing import Any, NamedTuple

import orjson

from stats.applications import cleaned
from stats.ingest.members import (
    AGENT_MEMBERS,
    BY_NAME,
    ERROR,
    PLAIN,
    REQUIRED,
    USUAL_PROTOCOLS,
    USUAL_SESSIONS,
    Kind,
    Member,
)
from stats.models import KIND_COLUMNS, KIND_PREFIX, SESSION_COLUMNS

NULL = b"\\N"

# The number of a row, and its unvalidated value. The value is a RowError if parsing failed, and an
# AgentRow if the row is valid already.
type Numbered = tuple[int, Any]


@dataclass(frozen=True, slots=True)
class Rejection:
    """A rejected row: its number, the invalid member, and the reason."""

    row_number: int
    field: str
    detail: str


@dataclass(slots=True)
class IngestResult:
    """The number of stored rows, the number of duplicates, and the rejected rows."""

    accepted: int = 0
    duplicates: int = 0
    rejections: list[Rejection] = field(default_factory=list)

    def add(self, other: IngestResult) -> None:
        self.accepted += other.accepted
        self.duplicates += other.duplicates
        self.rejections = sorted(
            [*self.rejections, *other.rejections], key=lambda each: each.row_number
        )


class RowError(ValueError):
    """Raised if a row is invalid.

    `field` is the name of the invalid member. It is empty if the whole row is invalid.
    """

    def __init__(self, field: str, detail: str) -> None:
        super().__init__(f"{field}: {detail}" if field else detail)
        self.field = field
        self.detail = detail


class AgentRow(NamedTuple):
    """A valid agent row. Rows are sorted by `created_at`, then by `id`.

    `line` is in the text format of COPY. It contains the values in the order of AGENT_COLUMNS.
    """

    created_at: datetime
    id: str
    number: int
    line: bytes


def quoted(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


_JSON = {member.name: member.usual for member in AGENT_MEMBERS}
_CSV = {name: usual.strip('"') for name, usual in _JSON.items()} | {
    name: rf'(\{{\}}|"{objects.replace('"', '""')}")'
    for name, objects in (("connections_by_proto", USUAL_PROTOCOLS), (BY_NAME, USUAL_SESSIONS))
}
_CSV["usage"] = "(t|f|true|false)"
_BY_PROTO = PLAIN.index("connections_by_proto")
_SORTED = (*PLAIN, *KIND_COLUMNS, BY_NAME)


def usual_csv(
    names: Sequence[str], delimiter: str
) -> Callable[[int, bytes], AgentRow | None] | None:
    """Returns a parser of usual lines with these columns, or None if one of PLAIN is missing.

    The parser takes the number of a line and the line. It returns None for an unusual line.
    """
    if not set(PLAIN).issubset(names):
        return None
    other = rf'[^"{delimiter}\r\n]{{0,999}}'
    columns = delimiter.join(_CSV.get(name, other) for name in names)
    return _parser(rf"{columns}\r?\n?", names)


def _parser(pattern: str, names: Iterable[str]) -> Callable[[int, bytes], AgentRow | None]:
    """Returns a parser of lines that match the pattern. `names` is the order of their values."""
    match = re.compile(pattern.encode()).fullmatch
    known = [name for name in names if name in _JSON]
    # The members with sessions may be absent. They get the last value, which is None.
    values_of = itemgetter(*(known.index(name) if name in known else -1 for name in _SORTED))

    def parse(number: int, text: bytes) -> AgentRow | None:
        if not (found := match(text)):
            return None
        *columns, sessions = values_of((*found.groups(), None))
        try:
            moment = datetime.fromisoformat(columns[1].decode())
        except ValueError:
            return None
        columns[_BY_PROTO] = _unquoted(columns[_BY_PROTO])
        if sessions and (counts := _columns_of_text(_unquoted(sessions))):
            columns[len(PLAIN) :] = counts
        else:
            columns = [b"0" if value is None else value for value in columns] + [NULL]
        return AgentRow(moment, columns[0].decode(), number, b"\t".join(columns) + b"\n")

    return parse


def _unquoted(value: bytes) -> bytes:
    """Removes the quotes of CSV. JSON objects do not begin with a quote."""
    return value.strip(b'"').replace(b'""', b'"')


# Most rows have one of a few combinations of applications and counts.
@lru_cache(maxsize=1_000)
def _columns_of_text(text: bytes) -> tuple[bytes, ...]:
    """Returns the columns with the sessions, or none if no application has a session."""
    counts = cleaned(orjson.loads(text))
    return tuple(map(_copied, _session_columns(counts))) if counts else ()


def _session_columns(counts: Mapping[str, int] | None) -> list[Any]:
    """Returns the values of SESSION_COLUMNS. None means that the sessions are unknown."""
    if counts is None:
        return [None] * len(SESSION_COLUMNS)
    kinds = {name.removeprefix(KIND_PREFIX): name for name in KIND_COLUMNS}
    others = {name: count for name, count in counts.items() if name not in kinds}
    return [
        *(counts.get(kind, 0) for kind in kinds),
        orjson.dumps(others).decode() if others else None,
    ]


def _copied(value: Any) -> bytes:
    """Converts a value to the text format of COPY."""
    return NULL if value is None else str(value).replace("\\", r"\\").encode()


# The members with sessions may be absent.
_in_array = (_JSON[name] if name in PLAIN else f"(?:null|{_JSON[name]})" for name in _JSON)
_usual_array = _parser(rf"\[{','.join(_in_array)}\]", _JSON)


def agent_row(number: int, value: Any) -> AgentRow:
    """Parses an agent row. Raises: RowError for an invalid member."""
    if isinstance(value, AgentRow):
        return value
    return _usual_row(number, value) or _parsed_row(number, value)


def _usual_row(number: int, value: Any) -> AgentRow | None:
    """Returns the parsed row, or None if a member is missing or not in its usual format."""
    try:
        return _usual_array(number, orjson.dumps([*map(value.get, _JSON)]))
    except (AttributeError, TypeError):
        return None


def _parsed_row(number: int, value: Any) -> AgentRow:
    values = dict(zip(_JSON, parse_row(value, members=AGENT_MEMBERS), strict=True))
    counts = values[BY_NAME]
    if counts == {}:
        sessions = [*(values[name] for name in KIND_COLUMNS), None]
    else:
        sessions = _session_columns(counts)
    columns = [*(values[name] for name in PLAIN), *sessions]
    line = b"\t".join(map(_copied, columns)) + b"\n"
    return AgentRow(values["created_at"], values["id"], number, line)


def parse_row(value: Any, *, members: tuple[Member, ...]) -> tuple[Any, ...]:
    """Returns the values in the order of `members`. Raises: RowError for an invalid value."""
    check_object(value)
    return tuple(_parsed(value, member) for member in members)


def check_object(value: Any) -> None:
    """Raises the value if it is a RowError. Raises a RowError if it is not a JSON object."""
    if isinstance(value, RowError):
        raise value
    if not isinstance(value, Mapping):
        raise RowError("", "must be a JSON object")


def _parsed(row: Mapping[str, Any], member: Member) -> Any:
    if (value := row.get(member.name)) is None:
        if member.default is REQUIRED:
            raise RowError(member.name, "is missing")
        return member.default
    try:
        return member.kind.parse(value)
    except ValueError as error:
        # The error of a workspace build may contain secrets, so it is not shown.
        shown = "the value" if member.kind is ERROR else quoted(value)
        raise RowError(member.name, f"{shown} {error}") from None


def parse_json(text: bytes) -> Any:
    """Returns the parsed JSON value, or a RowError if `text` is not JSON."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        return RowError("", f"is not JSON: {error.msg}")


# The strings that PostgreSQL writes for NULL in CSV and in its text format.
NULL_TEXTS = frozenset({"", "\\N"})


def from_text(values: Mapping[str, str], *, members: tuple[Member, ...]) -> dict[str, Any]:
    """Converts a CSV record to a row. Omits empty values and NULL."""
    return {
        member.name: _json_value(text, member.kind)
        for member in members
        if (text := values.get(member.name, "")) not in NULL_TEXTS
    }


def _json_value(text: str, kind: Kind) -> Any:
    """Returns an invalid string unchanged. The parser of its kind rejects it."""
    try:
        return kind.from_text(text)
    except ValueError:
        return text
