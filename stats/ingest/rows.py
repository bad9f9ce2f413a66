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
from typing import Any, NamedTuple, TypeGuard

import orjson
from django.db.models import Model

from kernel.http.wire import nullable
from kernel.text.values import parse_bool, parse_time
from stats.applications import cleaned
from stats.models import (
    KIND_COLUMNS,
    KIND_PREFIX,
    SESSION_COLUMNS,
    AgentStat,
    WorkspaceState,
)
from stats.sql import MAX_INTEGER

NO_LATENCY = -1.0
MAX_LATENCY_MS = 1e12
MAX_ERROR = 64 * 1024
MAX_PROTOCOLS = MAX_APPLICATIONS = 256
TRANSITIONS = ["start", "stop", "delete", ""]

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE)
REQUIRED = object()
# The value of `session_counts` if Coder does not have the sessions of the row any more.
UNKNOWN_SESSIONS = object()
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


class Kind(NamedTuple):
    """The type of a member: the parser and the JSON schema of its values.

    `parse` raises a ValueError for an invalid value. Its message is written to follow the value.
    `from_text` converts a string of CSV to a JSON value, or raises a ValueError.
    """

    parse: Callable[[Any], Any]
    schema: Mapping[str, Any]
    from_text: Callable[[str], Any] = str


class Member(NamedTuple):
    """One member of a row: its name, type and description, and the default if it is absent or null.

    `usual` is a regular expression for the usual format of the member in JSON. Its only group is
    the value, without the quotes of a string.
    """

    name: str
    kind: Kind
    about: str
    default: Any = REQUIRED
    usual: str = ""

    @property
    def column(self) -> str:
        """Returns the column of the table. The members have the names of Coder's columns."""
        return f"is_{self.name}" if self.kind is BOOLEAN else self.name

    @property
    def schema(self) -> dict[str, Any]:
        """Returns the JSON schema of the member for the OpenAPI document."""
        schema = {**self.kind.schema, "description": self.about}
        return schema if self.default is REQUIRED else nullable(schema)


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


def _uuid(value: Any) -> str:
    if not isinstance(value, str) or not _UUID.fullmatch(value):
        raise ValueError("is not a UUID")
    return value.lower()


def _is_count(value: Any) -> TypeGuard[int]:
    return type(value) is int and 0 <= value <= MAX_INTEGER


def _count(value: Any) -> int:
    if not _is_count(value):
        raise ValueError("is not a whole number from 0 to 2^63-1")
    return value


def _latency(value: Any) -> float:
    """Parses a latency in milliseconds. A negative number means that no latency was measured."""
    if type(value) not in (int, float) or not abs(value) <= MAX_LATENCY_MS:
        raise ValueError("is not a number of milliseconds up to 10^12")
    return float(value) if value >= 0 else NO_LATENCY


def _boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("is neither true nor false")
    return value


def _counts(value: Any, *, limit: int) -> dict[str, int]:
    is_small = isinstance(value, dict) and len(value) <= limit
    if not is_small or not all(map(_is_count, value.values())):
        numbers = f"at most {limit} whole numbers from 0 to 2^63-1"
        raise ValueError(f"is not an object with {numbers}")
    return value  # type: ignore[no-any-return]


def _protocols(value: Any) -> str:
    """Parses an object with the number of connections by protocol. Returns it as a JSON string."""
    if any("\0" in name for name in _counts(value, limit=MAX_PROTOCOLS)):
        raise ValueError("contains a name with a NUL")
    return orjson.dumps(value).decode()


def _sessions(value: Any) -> dict[str, int] | None:
    """Parses an object with the number of sessions by application. Returns None if unknown."""
    if value is UNKNOWN_SESSIONS:
        return None
    return cleaned(_counts(value, limit=MAX_APPLICATIONS))


def _transition(value: Any) -> str:
    if value not in TRANSITIONS:
        raise ValueError("is not start, stop or delete")
    return str(value)


def _error(value: Any) -> str:
    if not isinstance(value, str) or "\0" in value or len(value) > MAX_ERROR:
        raise ValueError(f"is not a string of at most {MAX_ERROR} characters without NUL")
    return value


_INTEGER = {"type": "integer", "maximum": MAX_INTEGER, "minimum": 0, "format": "int64"}
_MILLISECONDS = {"maximum": MAX_LATENCY_MS, "minimum": -MAX_LATENCY_MS}

UUID = Kind(_uuid, {"type": "string", "format": "uuid"})
TIME = Kind(parse_time, {"type": "string", "format": "date-time"})
COUNT = Kind(_count, _INTEGER, orjson.loads)
LATENCY = Kind(_latency, {"type": "number", "format": "double", **_MILLISECONDS}, orjson.loads)
PROTOCOLS = Kind(_protocols, {"type": "object", "additionalProperties": _INTEGER}, orjson.loads)
SESSIONS = Kind(_sessions, PROTOCOLS.schema, orjson.loads)
BOOLEAN = Kind(_boolean, {"type": "boolean"}, parse_bool)
TRANSITION = Kind(_transition, {"enum": TRANSITIONS, "type": "string"})
ERROR = Kind(_error, {"type": "string", "maxLength": MAX_ERROR})

_COUNT = r"(?:0|[1-9]\d{0,17})"
# PostgreSQL writes a space after colons and commas.
_PROTOCOL = rf'"[\w ./:-]+": ?{_COUNT}'
_PROTOCOLS = rf"\{{{_PROTOCOL}(?:, ?{_PROTOCOL}){{0,15}}\}}"
_SESSION = rf'"[\w .+-]{{1,64}}": ?{_COUNT}'
_SESSIONS = rf"\{{{_SESSION}(?:, ?{_SESSION}){{0,7}}\}}"


def _about(name: str, model: type[Model]) -> str:
    """Returns the description of the column."""
    return next(field.db_comment or "" for field in model._meta.fields if field.name == name)


def _id(name: str, model: type[Model] = AgentStat) -> Member:
    return Member(name, UUID, _about(name, model), usual=f'"({_UUID.pattern})"')


def _number(name: str) -> Member:
    about = f"{_about(name, AgentStat)} Default: 0."
    return Member(name, COUNT, about, 0, usual=f"({_COUNT})")


AGENT_MEMBERS = (
    _id("id"),
    Member(
        "created_at",
        TIME,
        "The time of the report, with a time zone offset.",
        usual=r'"(\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d{1,6})?(?:Z|\+00(?::00)?))"',
    ),
    _id("user_id"),
    _id("agent_id"),
    _id("workspace_id"),
    _id("template_id"),
    Member(
        "connections_by_proto",
        PROTOCOLS,
        "The number of open connections by protocol. Default: no connections.",
        "{}",
        usual=rf"(\{{\}}|{_PROTOCOLS})",
    ),
    _number("connection_count"),
    _number("rx_packets"),
    _number("rx_bytes"),
    _number("tx_packets"),
    _number("tx_bytes"),
    _number("session_count_vscode"),
    _number("session_count_jetbrains"),
    _number("session_count_reconnecting_pty"),
    _number("session_count_ssh"),
    Member(
        "session_counts",
        SESSIONS,
        "The number of open sessions by application, such as `cursor`. If it is absent or has "
        "no application, the members `session_count_…` are used instead.",
        {},
        usual=rf"(\{{\}}|{_SESSIONS})",
    ),
    Member(
        "connection_median_latency_ms",
        LATENCY,
        "The median latency in milliseconds. -1, the default, means that no latency was measured.",
        NO_LATENCY,
        usual=r"((?:0|[1-9]\d{0,11})(?:\.\d+)?|-1(?:\.0)?)",
    ),
    Member(
        "usage",
        BOOLEAN,
        "Whether this is a usage row. If the experiment workspace-usage is enabled, sessions are "
        "counted from usage rows. Default: false.",
        False,
        usual="(true|false)",
    ),
)


def _time(name: str, note: str = "") -> Member:
    return Member(name, TIME, f"{_about(name, WorkspaceState)}{note}", None)


WORKSPACE_MEMBERS = (
    _id("workspace_id", WorkspaceState),
    Member("deleted", BOOLEAN, "Whether the workspace is deleted. Default: false.", False),
    Member(
        "build_number",
        COUNT,
        "The number of the workspace's newest build. A state with a lower number than the stored "
        "state is ignored.",
        None,
    ),
    Member("transition", TRANSITION, "The transition of the build.", ""),
    _time("job_started_at"),
    _time("job_canceled_at"),
    _time("job_completed_at"),
    _time(
        "job_updated_at",
        " For the same build, a state with an earlier time than the stored state is ignored.",
    ),
    Member("error", ERROR, "The error of the job. Empty if the job did not fail.", ""),
)


BY_NAME = "session_counts"
_JSON = {member.name: member.usual for member in AGENT_MEMBERS}
_CSV = {name: usual.strip('"') for name, usual in _JSON.items()} | {
    name: rf'(\{{\}}|"{objects.replace('"', '""')}")'
    for name, objects in (("connections_by_proto", _PROTOCOLS), (BY_NAME, _SESSIONS))
}
_CSV["usage"] = "(t|f|true|false)"
_KIND_NAMES = frozenset(KIND_COLUMNS)
# The members that each row has, and the columns of the table.
_PLAIN = [name for name in _JSON if name not in {BY_NAME, *KIND_COLUMNS}]
AGENT_COLUMNS = (
    *(member.column for member in AGENT_MEMBERS if member.name in _PLAIN),
    *SESSION_COLUMNS,
)
_BY_PROTO = _PLAIN.index("connections_by_proto")


def usual_csv(
    names: Sequence[str], delimiter: str
) -> Callable[[int, bytes], AgentRow | None] | None:
    """Returns a parser of usual lines with these columns, or None if a member is missing.

    The parser takes the number of a line and the line. It returns None for an unusual line.
    """
    known = set(names) & _CSV.keys()
    if known not in (set(_with_kinds), set(_with_names)):
        return None
    other = rf'[^"{delimiter}\r\n]{{0,999}}'
    columns = delimiter.join(_CSV.get(name, other) for name in names)
    return _parser(rf"{columns}\r?\n?", names)


def _parser(pattern: str, names: Iterable[str]) -> Callable[[int, bytes], AgentRow | None]:
    """Returns a parser of lines that match the pattern. `names` is the order of their values."""
    match = re.compile(pattern.encode()).fullmatch
    known = [name for name in names if name in _JSON]
    plain = itemgetter(*map(known.index, _PLAIN))
    if BY_NAME in known:
        counts = known.index(BY_NAME)
    else:
        kinds = itemgetter(*map(known.index, KIND_COLUMNS))

    def parse(number: int, text: bytes) -> AgentRow | None:
        if not (found := match(text)):
            return None
        groups = found.groups()
        values = [*plain(groups)]
        values[_BY_PROTO] = _unquoted(values[_BY_PROTO])
        try:
            moment = datetime.fromisoformat(values[1].decode())
        except ValueError:
            return None
        if BY_NAME in known:
            values += _columns_of_text(_unquoted(groups[counts]))
        else:
            values += (*kinds(groups), NULL)
        return AgentRow(moment, values[0].decode(), number, b"\t".join(values) + b"\n")

    return parse


def _unquoted(value: bytes) -> bytes:
    """Removes the quotes of CSV. JSON objects do not begin with a quote."""
    return value.strip(b'"').replace(b'""', b'"')


# Most rows have one of a few combinations of applications and counts.
@lru_cache(maxsize=1_000)
def _columns_of_text(text: bytes) -> tuple[bytes, ...]:
    return tuple(map(_copied, _session_columns(cleaned(orjson.loads(text)))))


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


_with_kinds = [name for name in _JSON if name != BY_NAME]
_with_names = [name for name in _JSON if name not in KIND_COLUMNS]
_usual_arrays = tuple(
    (itemgetter(*names), _parser(rf"\[{','.join(map(_JSON.__getitem__, names))}\]", names))
    for names in (_with_kinds, _with_names)
)


def agent_row(number: int, value: Any) -> AgentRow:
    """Parses an agent row. Raises: RowError for an invalid member."""
    if isinstance(value, AgentRow):
        return value
    return _usual_row(number, value) or _parsed_row(number, value)


def _usual_row(number: int, value: Any) -> AgentRow | None:
    """Returns the parsed row, or None if a member is missing or not in its usual format."""
    try:
        has_names = BY_NAME in value
        if has_names and not _KIND_NAMES.isdisjoint(value):
            return None
        values_of, parse = _usual_arrays[has_names]
        return parse(number, orjson.dumps(values_of(value)))
    except (KeyError, TypeError):
        return None


def _parsed_row(number: int, value: Any) -> AgentRow:
    values = dict(zip(_JSON, parse_row(value, members=AGENT_MEMBERS), strict=True))
    counts = values[BY_NAME]
    if counts == {}:
        sessions = [*(values[name] for name in KIND_COLUMNS), None]
    else:
        sessions = _session_columns(counts)
    columns = [*(values[name] for name in _PLAIN), *sessions]
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
