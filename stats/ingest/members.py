"""The members of agent rows and of workspace states: their types, descriptions and columns."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeGuard

import orjson
from django.db.models import Model

from kernel.db.sql import MAX_INTEGER
from kernel.http.wire import nullable
from kernel.text.values import parse_bool, parse_time
from stats.applications import cleaned
from stats.models import KIND_COLUMNS, SESSION_COLUMNS, AgentStat, WorkspaceState

NO_LATENCY = -1.0
MAX_LATENCY_MS = 1e12
MAX_ERROR = 64 * 1024
MAX_PROTOCOLS = MAX_APPLICATIONS = 256
TRANSITIONS = ["start", "stop", "delete", ""]

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE)
REQUIRED = object()
# The value of `session_counts` if Coder does not have the sessions of the row any more.
UNKNOWN_SESSIONS = object()


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
USUAL_PROTOCOLS = rf"\{{{_PROTOCOL}(?:, ?{_PROTOCOL}){{0,15}}\}}"
_SESSION = rf'"[\w .+-]{{1,64}}": ?{_COUNT}'
USUAL_SESSIONS = rf"\{{{_SESSION}(?:, ?{_SESSION}){{0,7}}\}}"


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
        usual=rf"(\{{\}}|{USUAL_PROTOCOLS})",
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
        usual=rf"(\{{\}}|{USUAL_SESSIONS})",
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


# The member with the sessions by application.
BY_NAME = "session_counts"
# The members that rows of every release of Coder have.
PLAIN = tuple(
    member.name for member in AGENT_MEMBERS if member.name not in {BY_NAME, *KIND_COLUMNS}
)
# The columns of the table.
AGENT_COLUMNS = (
    *(member.column for member in AGENT_MEMBERS if member.name in PLAIN),
    *SESSION_COLUMNS,
)
