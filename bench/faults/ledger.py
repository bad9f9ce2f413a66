"""The ledger: compares the answers of the service with the rows in PostgreSQL."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from itertools import batched
from typing import Any

import psycopg

PORTION = 5_000
NO_ANSWER, NO_CONNECTION, RESET = 0, -1, -2
STATUSES = {NO_ANSWER: "no answer", NO_CONNECTION: "no connection", RESET: "reset"}
REPORT, ROW, TOKEN = "report", "stats", "token"

# For each kind: the table, the column of the mark, its type, and how to count rows.
KINDS = {
    REPORT: ("csp_report", "line_number", "int", "sum(represented_reports)"),
    ROW: ("stats_agentstat", "id", "uuid", "count(*)"),
    TOKEN: ("tokens_apikey", "token_name", "text", "count(*)"),
}
# The number of reports, as each table counts them.
TOTALS = """
SELECT (SELECT coalesce(sum(represented_reports), 0)::bigint FROM csp_report),
    (SELECT coalesce(sum(reports), 0)::bigint FROM csp_group),
    (SELECT coalesce(sum(reports), 0)::bigint FROM csp_grouphour)
"""


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
    table, mark, kind_of_mark, weight = KINDS[kind]
    query = (
        f"SELECT {mark}::text, {weight} FROM {table}"  # noqa: S608 - constants
        f" WHERE {mark} = ANY(%s::{kind_of_mark}[]) GROUP BY 1"
    ).encode()
    found: dict[str, int] = {}
    for portion in batched(marks, PORTION):
        rows = connection.execute(query, [list(portion)])
        found.update({row[0]: int(row[1]) for row in rows})
    return found


def disagreements(connection: psycopg.Connection[Any]) -> list[str]:
    """Returns an error message if the counts of reports, groups and hours differ."""
    ((rows, groups, hours),) = connection.execute(TOTALS).fetchall()
    if rows == groups == hours:
        return []
    return [f"{rows} reports, but groups count {groups} and hours {hours}"]
