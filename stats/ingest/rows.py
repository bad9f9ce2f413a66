"""Parses agent rows and workspace states, and rejects invalid rows.

Rows are numbered from 1. Errors contain the number of the row.

An agent row is converted to a line in the text format of COPY. Most rows have the usual format, and
a single regular expression validates a whole row: a line of CSV, or the JSON array of the values of
an object. If a row does not match, each of its members is parsed separately. This takes several
times as long, but it accepts all formats and finds the invalid member.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from operator import itemgetter
from typing import Any, NamedTuple

import orjson

from kernel.texts import parse_bool, parse_time

MAX_INTEGER = 2**63 - 1
NO_LATENCY = -1.0
MAX_LATENCY_MS = 1e12
MAX_ERROR = 64 * 1024
MAX_PROTOCOLS = 256

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE)
REQUIRED = object()

# The number of a row, and its unvalidated value. The value is a RowError if parsing failed, and an
# AgentRow if the row is valid already.
type Numbered = tuple[int, Any]


@dataclass(frozen=True, slots=True)
class Rejection:
    """A rejected row: its number, the invalid member, and the reason."""

    row: int
    field: str
    detail: str


@dataclass(slots=True)
class IngestResult:
    """The number of stored rows, the number of duplicates, and the rejected rows."""

    accepted: int = 0
    duplicate: int = 0
    rejected: list[Rejection] = field(default_factory=list)

    def add(self, other: IngestResult) -> None:
        self.accepted += other.accepted
        self.duplicate += other.duplicate
        self.rejected = sorted([*self.rejected, *other.rejected], key=lambda each: each.row)


class RowError(ValueError):
    """Raised if a row is invalid.

    `field` is the name of the invalid member. It is empty if the whole row is invalid.
    """

    def __init__(self, field: str, detail: str) -> None:
        super().__init__(f"{field}: {detail}" if field else detail)
        self.field = field
        self.detail = detail


class Member(NamedTuple):
    """One member of a row: its name, its parser, and the default if it is absent or null.

    `usual` is a regular expression for the usual format of the member in JSON. Its only group is
    the value, without the quotes of a string.
    """

    name: str
    parse: Callable[[Any], Any]
    default: Any = REQUIRED
    usual: str = ""


class AgentRow(NamedTuple):
    """A valid agent row. Rows are sorted by `created_at`, then by `id`.

    `line` is in the text format of COPY. It contains the members in the order of AGENT_MEMBERS.
    """

    created_at: datetime
    id: str
    number: int
    line: bytes


def quoted(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def uuid_text(value: Any) -> str:
    if not isinstance(value, str) or not _UUID.fullmatch(value):
        raise ValueError(f"{quoted(value)} is not a UUID")
    return value.lower()


def moment(value: Any) -> datetime:
    try:
        return parse_time(value)
    except ValueError as error:
        raise ValueError(f"{quoted(value)} {error}") from None


def count(value: Any) -> int:
    if type(value) is not int or not 0 <= value <= MAX_INTEGER:
        raise ValueError(f"{quoted(value)} is not a whole number from 0 to 2^63-1")
    return value


def latency(value: Any) -> float:
    """Parses a latency in milliseconds. A negative number means that no latency was measured."""
    if (
        isinstance(value, bool)
        or not isinstance(value, int | float)
        or not abs(value) <= MAX_LATENCY_MS
    ):
        raise ValueError(f"{quoted(value)} is not a number of milliseconds up to 10^12")
    return float(value) if value >= 0 else NO_LATENCY


def boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"{quoted(value)} is neither true nor false")
    return value


def protocols(value: Any) -> str:
    """Parses an object with the number of connections by protocol. Returns it as a JSON string."""
    if not isinstance(value, dict) or len(value) > MAX_PROTOCOLS:
        raise ValueError(f"{quoted(value)} is not an object of at most {MAX_PROTOCOLS} counts")
    for name, number in value.items():
        if "\0" in name:
            raise ValueError(f"{quoted(name)} contains a NUL")
        count(number)
    return orjson.dumps(value).decode()


def transition(value: Any) -> str:
    if value not in ("start", "stop", "delete", ""):
        raise ValueError(f"{quoted(value)} is not start, stop or delete")
    return str(value)


def error_text(value: Any) -> str:
    if not isinstance(value, str) or "\0" in value or len(value) > MAX_ERROR:
        raise ValueError(f"must be a string of at most {MAX_ERROR} characters without NUL")
    return value


_COUNT = r"(?:0|[1-9]\d{0,17})"
# PostgreSQL writes a space after colons and commas.
_PROTOCOL = rf'"[\w ./:-]+": ?{_COUNT}'
_PROTOCOLS = rf"\{{{_PROTOCOL}(?:, ?{_PROTOCOL}){{0,15}}\}}"


def _id(name: str) -> Member:
    return Member(name, uuid_text, usual=f'"({_UUID.pattern})"')


def _count(name: str) -> Member:
    return Member(name, count, 0, usual=f"({_COUNT})")


AGENT_MEMBERS = (
    _id("id"),
    Member(
        "created_at",
        moment,
        usual=r'"(\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d{1,6})?(?:Z|\+00(?::00)?))"',
    ),
    _id("user_id"),
    _id("agent_id"),
    _id("workspace_id"),
    _id("template_id"),
    Member("connections_by_proto", protocols, "{}", usual=rf"(\{{\}}|{_PROTOCOLS})"),
    _count("connection_count"),
    _count("rx_packets"),
    _count("rx_bytes"),
    _count("tx_packets"),
    _count("tx_bytes"),
    _count("session_count_vscode"),
    _count("session_count_jetbrains"),
    _count("session_count_reconnecting_pty"),
    _count("session_count_ssh"),
    Member(
        "connection_median_latency_ms",
        latency,
        NO_LATENCY,
        usual=r"((?:0|[1-9]\d{0,11})(?:\.\d+)?|-1(?:\.0)?)",
    ),
    Member("usage", boolean, False, usual="(true|false)"),
)
WORKSPACE_MEMBERS = (
    Member("workspace_id", uuid_text),
    Member("deleted", boolean, False),
    Member("build_number", count, None),
    Member("transition", transition, ""),
    Member("job_started_at", moment, None),
    Member("job_canceled_at", moment, None),
    Member("job_completed_at", moment, None),
    Member("job_updated_at", moment, None),
    Member("error", error_text, ""),
)


_JSON = {member.name: member.usual for member in AGENT_MEMBERS}
_CSV = {name: usual.strip('"') for name, usual in _JSON.items()} | {
    "connections_by_proto": rf'(\{{\}}|"{_PROTOCOLS.replace('"', '""')}")',
    "usage": "(t|f|true|false)",
}
_BY_PROTO = [*_JSON].index("connections_by_proto")
_values_of = itemgetter(*_JSON)


def usual_csv(
    names: Sequence[str], delimiter: str
) -> Callable[[int, bytes], AgentRow | None] | None:
    """Returns a parser of usual lines with these columns, or None if a member is missing.

    The parser takes the number of a line and the line. It returns None for an unusual line.
    """
    if not _CSV.keys() <= set(names):
        return None
    other = rf'[^"{delimiter}\r\n]{{0,999}}'
    columns = delimiter.join(_CSV.get(name, other) for name in names)
    return _parser(rf"{columns}\r?\n?", names)


def _parser(pattern: str, names: Iterable[str]) -> Callable[[int, bytes], AgentRow | None]:
    """Returns a parser of lines that match the pattern. `names` is the order of their values."""
    match = re.compile(pattern.encode()).fullmatch
    known = [name for name in names if name in _JSON]
    in_order = itemgetter(*map(known.index, _JSON))

    def parse(number: int, text: bytes) -> AgentRow | None:
        if not (found := match(text)):
            return None
        values = [*in_order(found.groups())]
        # Remove the quotes of CSV.
        values[_BY_PROTO] = values[_BY_PROTO].strip(b'"').replace(b'""', b'"')
        try:
            moment = datetime.fromisoformat(values[1].decode())
        except ValueError:
            return None
        return AgentRow(moment, values[0].decode(), number, b"\t".join(values) + b"\n")

    return parse


_usual_array = _parser(rf"\[{','.join(_JSON.values())}\]", _JSON)


def agent_row(number: int, value: Any) -> AgentRow:
    """Parses an agent row. Raises: RowError for an invalid member."""
    if isinstance(value, AgentRow):
        return value
    return _usual_row(number, value) or _parsed_row(number, value)


def _usual_row(number: int, value: Any) -> AgentRow | None:
    """Returns the parsed row, or None if a member is missing or not in its usual format."""
    try:
        return _usual_array(number, orjson.dumps(_values_of(value)))
    except (KeyError, TypeError):
        return None


def _parsed_row(number: int, value: Any) -> AgentRow:
    values = parse_row(value, members=AGENT_MEMBERS)
    line = "\t".join(str(value).replace("\\", r"\\") for value in values) + "\n"
    return AgentRow(values[1], values[0], number, line.encode())


def parse_row(value: Any, *, members: tuple[Member, ...]) -> tuple[Any, ...]:
    """Returns the values in the order of `members`. Raises: RowError for an invalid value."""
    check_object(value)
    return tuple(_parsed(value, member) for member in members)


def check_object(value: Any) -> None:
    """Raises a RowError if the value is not a JSON object, or is itself a RowError."""
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
        return member.parse(value)
    except ValueError as error:
        raise RowError(member.name, str(error)) from None


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
        name: _READERS[parse](text) if parse in _READERS else text
        for name, parse, *_ in members
        if (text := values.get(name, "")) not in NULL_TEXTS
    }


def _boolean_of(text: str) -> bool | str:
    try:
        return parse_bool(text)
    except ValueError:
        return text


def _json_of(text: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return text


# Functions that convert a string of CSV to a JSON value. If the string is invalid, they return the
# string, and the parser of the member rejects it.
_READERS: dict[Callable[[Any], Any], Callable[[str], Any]] = {
    count: _json_of,
    latency: _json_of,
    protocols: _json_of,
    boolean: _boolean_of,
}
