"""The ledger: compares the answers of the service with the rows in PostgreSQL."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import psycopg
from psycopg import sql

from bench.load import BenchError

PORTION = 5_000
NO_ANSWER, NO_CONNECTION, RESET = 0, -1, -2
STATUSES = {NO_ANSWER: "no answer", NO_CONNECTION: "no connection", RESET: "reset"}
REPORT, ROW, TOKEN = "report", "stats", "token"

# Tables are found by their columns, so that a table may have another name.
TABLE = """
SELECT c.oid::regclass::text FROM pg_class AS c
WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND %(count)s = (
    SELECT count(*) FROM pg_attribute AS a WHERE a.attrelid = c.oid AND a.attname = ANY(%(names)s)
) ORDER BY 1
"""
# For each kind: columns that only its table has, the column of the mark, and how to count rows.
KINDS: dict[str, tuple[list[str], str, str]] = {
    REPORT: (
        ["line_number", "blocked_uri", "represented_reports"],
        "line_number",
        "sum(represented_reports)",
    ),
    ROW: (["agent_id", "connection_median_latency_ms", "rx_bytes", "id"], "id", "count(*)"),
    TOKEN: (["token_name", "hashed_secret"], "token_name", "count(*)"),
}
TYPES = {REPORT: "int", ROW: "uuid", TOKEN: "text"}
GROUPS, HOURS = ["blocked_source", "client_days", "reports"], ["group_id", "hour", "reports"]


@dataclass(slots=True)
class Account:
    """One line of the ledger. `there` counts the marks found without an acknowledgment."""

    acknowledged: int = 0
    found: int = 0
    lost: int = 0
    doubled: int = 0
    refused: int = 0
    refused_there: int = 0
    unanswered: int = 0
    unanswered_there: int = 0

    def __add__(self, other: Account) -> Account:
        ours, theirs = asdict(self), asdict(other)
        return Account(**{name: ours[name] + theirs[name] for name in ours})


@dataclass(slots=True)
class Sent:
    """The marks that were sent, by kind and answer."""

    acknowledged: dict[str, set[str]] = field(default_factory=dict)
    refused: dict[str, set[str]] = field(default_factory=dict)
    unanswered: dict[str, set[str]] = field(default_factory=dict)
    statuses: Counter[str] = field(default_factory=Counter)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, kind: str, marks: Iterable[str], status: int, *, maybe_written: bool) -> None:
        """Notes the answer. `maybe_written`: an earlier attempt had no answer."""
        if 200 <= status < 300:
            book = self.acknowledged
        elif status == 503 and not maybe_written:
            book = self.refused
        else:
            book = self.unanswered
        with self._lock:
            book.setdefault(kind, set()).update(marks)

    def count_status(self, kind: str, status: int) -> None:
        with self._lock:
            self.statuses[f"{kind} {STATUSES.get(status, status)}"] += 1


def settle(sent: Sent, connection: psycopg.Connection[Any]) -> dict[str, Account]:
    """Looks up every mark, and returns an account for each kind."""
    return {kind: _settle_kind(kind, sent, connection) for kind in KINDS}


def _settle_kind(kind: str, sent: Sent, connection: psycopg.Connection[Any]) -> Account:
    acknowledged = sent.acknowledged.get(kind, set())
    refused = sent.refused.get(kind, set())
    unanswered = sent.unanswered.get(kind, set()) - acknowledged
    there = _found(kind, sorted(acknowledged | refused | unanswered), connection)
    return Account(
        acknowledged=len(acknowledged),
        found=len(acknowledged & there.keys()),
        lost=len(acknowledged - there.keys()),
        doubled=sum(count > 1 for count in there.values()),
        refused=len(refused),
        refused_there=len(refused & there.keys()),
        unanswered=len(unanswered),
        unanswered_there=len(unanswered & there.keys()),
    )


def _found(kind: str, marks: Sequence[str], connection: psycopg.Connection[Any]) -> dict[str, int]:
    _, mark, weight = KINDS[kind]
    query = sql.SQL(
        "SELECT {mark}::text, {weight} FROM {table} WHERE {mark} = ANY(%s::{type}[]) GROUP BY 1"
    ).format(
        mark=sql.Identifier(mark),
        weight=sql.SQL(weight),
        table=table_of(kind, connection),
        type=sql.SQL(TYPES[kind]),
    )
    found: dict[str, int] = {}
    for portion in _portions(marks):
        found.update({row[0]: int(row[1]) for row in connection.execute(query, [portion])})
    return found


def _portions(marks: Sequence[str]) -> Iterator[list[str]]:
    for start in range(0, len(marks), PORTION):
        yield list(marks[start : start + PORTION])


def table_of(kind: str, connection: psycopg.Connection[Any]) -> sql.SQL:
    """Returns the name of the table of this kind."""
    return sql.SQL(_table(KINDS[kind][0], connection))


def _table(columns: list[str], connection: psycopg.Connection[Any]) -> str:
    row = connection.execute(TABLE, {"names": columns, "count": len(columns)}).fetchone()
    if row is None:
        raise BenchError(f"No table has the columns {', '.join(columns)}.")
    return str(row[0])


def disagreements(connection: psycopg.Connection[Any]) -> list[str]:
    """Returns an error message if the counts of reports, groups and hours differ."""
    figures = [
        connection.execute(
            sql.SQL("SELECT coalesce(sum({}), 0)::bigint FROM {}").format(
                sql.Identifier(column),
                sql.SQL(_table(columns, connection)),
            )
        ).fetchone()
        for columns, column in (
            (KINDS[REPORT][0], "represented_reports"),
            (GROUPS, "reports"),
            (HOURS, "reports"),
        )
    ]
    rows, groups, hours = (int(row[0]) if row else 0 for row in figures)
    if rows == groups == hours:
        return []
    return [f"{rows} reports, but groups count {groups} and hours {hours}"]
