"""Parses the rows of agents and the states of workspaces, strictly and by name.

A row that comes in gets a number, from 1 on, by which the answer names it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple

import orjson

MAX_INTEGER = 2**63 - 1
NO_LATENCY = -1.0
MAX_LATENCY_MS = 1e12
MAX_ERROR = 64 * 1024
MAX_PROTOCOLS = 256

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE)
# RFC 3339, section 5.6. Python knows more forms, and no fraction beyond what it keeps.
_MOMENT = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
REQUIRED = object()

# A number and a value that should be a row; a number and the values of a good row.
type Numbered = tuple[int, Any]
type Row = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Rejection:
    """A row that was not taken: its number, the member that is wrong, and why."""

    row: int
    field: str
    detail: str


@dataclass(slots=True)
class Verdicts:
    """The outcome for rows that came in. A duplicate is known already."""

    accepted: int = 0
    duplicate: int = 0
    rejected: list[Rejection] = field(default_factory=list)

    def add(self, other: Verdicts) -> None:
        self.accepted += other.accepted
        self.duplicate += other.duplicate
        self.rejected = sorted([*self.rejected, *other.rejected], key=lambda each: each.row)


class RowError(ValueError):
    """A row that cannot be taken. `field` is the member that is wrong."""

    def __init__(self, field: str, detail: str) -> None:
        super().__init__(f"{field}: {detail}" if field else detail)
        self.field = field
        self.detail = detail


class Member(NamedTuple):
    """One member of a row: its name, its parser, and its value when it is absent."""

    name: str
    parse: Callable[[Any], Any]
    default: Any = REQUIRED


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def uuid_text(value: Any) -> str:
    if not isinstance(value, str) or not _UUID.fullmatch(value):
        raise ValueError(f"{_shown(value)} is not a UUID")
    return value.lower()


def moment(value: Any) -> datetime:
    """Parses an RFC 3339 time with its offset. Returns it in UTC, cut to microseconds."""
    try:
        parsed = datetime.fromisoformat(value.upper()) if _MOMENT.fullmatch(value) else None
    except (TypeError, ValueError):
        parsed = None
    if parsed is None or parsed.tzinfo is None:
        raise ValueError(f"{_shown(value)} is not a time such as 2026-01-31T12:00:00Z")
    if parsed.tzinfo is UTC:
        return parsed
    try:
        return parsed.astimezone(UTC)
    except OverflowError:
        raise ValueError(f"{_shown(value)} is out of range") from None


def count(value: Any) -> int:
    if type(value) is not int or not 0 <= value <= MAX_INTEGER:
        raise ValueError(f"{_shown(value)} is not a whole number from 0 to 2^63-1")
    return value


def latency(value: Any) -> float:
    """Parses milliseconds; any negative number says that none was measured."""
    if (
        isinstance(value, bool)
        or not isinstance(value, int | float)
        or not abs(value) <= MAX_LATENCY_MS
    ):
        raise ValueError(f"{_shown(value)} is not a number of milliseconds up to 10^12")
    return float(value) if value >= 0 else NO_LATENCY


def truth(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"{_shown(value)} is neither true nor false")
    return value


def protocols(value: Any) -> str:
    """Parses a map of protocol to count. Returns it as JSON text."""
    if not isinstance(value, dict) or len(value) > MAX_PROTOCOLS:
        raise ValueError(f"must be an object of at most {MAX_PROTOCOLS} counts")
    for name, number in value.items():
        if "\0" in name:
            raise ValueError(f"{_shown(name)} holds a NUL")
        count(number)
    return orjson.dumps(value).decode()


def transition(value: Any) -> str:
    if value not in ("start", "stop", "delete", "", None):
        raise ValueError(f"{_shown(value)} is not start, stop or delete")
    return value or ""


def error_text(value: Any) -> str:
    if value is None:
        return ""
    if not isinstance(value, str) or "\0" in value or len(value) > MAX_ERROR:
        raise ValueError(f"must be a text without NUL of at most {MAX_ERROR} characters")
    return value


def optional[T](parse: Callable[[Any], T]) -> Callable[[Any], T | None]:
    return lambda value: None if value is None else parse(value)


AGENT_MEMBERS = (
    Member("id", uuid_text),
    Member("created_at", moment),
    Member("user_id", uuid_text),
    Member("agent_id", uuid_text),
    Member("workspace_id", uuid_text),
    Member("template_id", uuid_text),
    Member("connections_by_proto", protocols, "{}"),
    Member("connection_count", count, 0),
    Member("rx_packets", count, 0),
    Member("rx_bytes", count, 0),
    Member("tx_packets", count, 0),
    Member("tx_bytes", count, 0),
    Member("session_count_vscode", count, 0),
    Member("session_count_jetbrains", count, 0),
    Member("session_count_reconnecting_pty", count, 0),
    Member("session_count_ssh", count, 0),
    Member("connection_median_latency_ms", latency, NO_LATENCY),
    Member("usage", truth, False),
)
WORKSPACE_MEMBERS = (
    Member("workspace_id", uuid_text),
    Member("deleted", truth, False),
    Member("build_number", optional(count), None),
    Member("transition", transition, ""),
    Member("job_started_at", optional(moment), None),
    Member("job_canceled_at", optional(moment), None),
    Member("job_completed_at", optional(moment), None),
    Member("job_updated_at", optional(moment), None),
    Member("error", error_text, ""),
)


def parse_row(value: Any, *, members: tuple[Member, ...]) -> tuple[Any, ...]:
    """Returns the row's values in the order of `members`. Raises: RowError for a bad member."""
    if not isinstance(value, Mapping):
        raise RowError("", "must be a JSON object")
    parsed = []
    name = ""
    try:
        for name, parse, default in members:
            if name in value:
                parsed.append(parse(value[name]))
            elif default is REQUIRED:
                raise RowError(name, "is missing")
            else:
                parsed.append(default)
    except RowError:
        raise
    except ValueError as error:
        raise RowError(name, str(error)) from None
    return tuple(parsed)


def parse_each(
    rows: Iterable[Numbered], *, members: tuple[Member, ...], rejected: list[Rejection]
) -> list[Row]:
    """Returns the good rows' values, each row's after its number. Others go to `rejected`."""
    parsed: list[Row] = []
    for number, value in rows:
        try:
            parsed.append((number, *parse_row(value, members=members)))
        except RowError as error:
            rejected.append(Rejection(number, error.field, error.detail))
    return parsed


_JSON_MEMBERS = {"connections_by_proto", "build_number"}
_TRUTHS = {"true": True, "t": True, "1": True, "false": False, "f": False, "0": False}


def from_text(values: Mapping[str, str], *, members: tuple[Member, ...]) -> dict[str, Any]:
    """Returns the row that a record of texts stands for. An empty text is as good as none.

    Raises: RowError for a text that is not of its member's kind.
    """
    return {
        member.name: _value(member, text)
        for member in members
        if (text := values.get(member.name, ""))
    }


def _value(member: Member, text: str) -> Any:
    """Returns the JSON value of a text, for the member to judge."""
    try:
        if isinstance(member.default, bool):
            return _TRUTHS.get(text.lower(), text)
        if isinstance(member.default, int | float) or member.name in _JSON_MEMBERS:
            return orjson.loads(text)
    except orjson.JSONDecodeError:
        raise RowError(member.name, f"{_shown(text)} is not its kind of value") from None
    return text
