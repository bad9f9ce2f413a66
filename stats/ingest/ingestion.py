"""Stores agent rows and workspace states, from requests and from imports.

Each agent row is stored once, and its minute is marked for the builder. If all rows of a batch are
new, COPY writes them directly into their partitions. If a row is a duplicate, COPY writes the batch
into a temporary table first, and only new rows are inserted. This takes 1.5 times as long.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from itertools import batched
from typing import Any, Final

import orjson
from django.conf import settings
from django.db import connection, transaction
from psycopg.errors import UniqueViolation

from kernel.db.connections import commit_with_retry, retry_on_conflict
from kernel.db.sql import execute, fetch_rows
from kernel.http.errors import unknown_name
from kernel.text.durations import floor
from stats.ingest.members import AGENT_COLUMNS, AGENT_MEMBERS, WORKSPACE_MEMBERS, Member
from stats.ingest.rows import (
    AgentRow,
    IngestResult,
    Numbered,
    Rejection,
    RowError,
    agent_row,
    check_object,
    parse_row,
)
from stats.models import HOUR, MINUTE
from stats.rollups.hours import (
    EARLIEST,
    MAX_AHEAD,
    MAX_OLD_HOURS,
    closed_among,
    ensure_hours,
    hours_of,
    lock_open,
    mark_stale,
)

AGENT: Final = "agent"
WORKSPACE: Final = "workspace"
MEMBERS: dict[str, tuple[Member, ...]] = {AGENT: AGENT_MEMBERS, WORKSPACE: WORKSPACE_MEMBERS}
# The names of the members of a row in a request. Imports ignore unknown columns, and list them.
KNOWN = {kind: {"kind", *(member.name for member in MEMBERS[kind])} for kind in MEMBERS}
ROWS_PER_WRITE = 1_000

_COLUMNS = ", ".join(AGENT_COLUMNS)
_COPY = f"COPY {{table}} ({_COLUMNS}) FROM STDIN"
_STAGE = """
CREATE TEMPORARY TABLE arriving_agent_stats (LIKE stats_agentstat) ON COMMIT DROP
"""
# Inserts rows in the order of their key, so that two transactions with the same rows do not
# deadlock.
_INSERT = f"""
WITH inserted AS (
    INSERT INTO stats_agentstat ({_COLUMNS})
    SELECT {_COLUMNS} FROM arriving_agent_stats ORDER BY created_at, id
    ON CONFLICT DO NOTHING RETURNING created_at
)
SELECT date_trunc('minute', created_at, 'UTC'), count(*) FROM inserted GROUP BY 1
"""  # noqa: S608 - the names are constants of this package


@dataclass(frozen=True, slots=True)
class Parsed:
    """The valid rows of each kind, and the rejected rows. Agent rows are sorted by their key."""

    agents: Sequence[AgentRow] = ()
    states: list[tuple[Any, ...]] = field(default_factory=list)
    rejections: list[Rejection] = field(default_factory=list)


def parse(rows: Iterable[Numbered], *, kind: str = "") -> Parsed:
    """Parses rows without using the database.

    If `kind` is empty, each row has its kind in the member `kind`.
    """
    agents: list[AgentRow] = []
    parsed = Parsed()
    for number, value in rows:
        try:
            if (kind or _kind_of(value)) == AGENT:
                agents.append(agent_row(number, value))
            else:
                parsed.states.append((number, *parse_row(value, members=WORKSPACE_MEMBERS)))
        except RowError as error:
            parsed.rejections.append(Rejection(number, error.field, error.detail))
    return Parsed(sorted(agents), parsed.states, parsed.rejections)


def _kind_of(value: Any) -> str:
    check_object(value)
    kind = value.get("kind")
    if kind not in (AGENT, WORKSPACE):
        raise RowError("kind", f"must be {AGENT} or {WORKSPACE}")
    known = KNOWN[kind]
    if not known.issuperset(value):
        name = min(value.keys() - known)
        raise RowError(name[:64], unknown_name(sorted(known), "member"))
    return str(kind)


def minutes_of(rows: Sequence[AgentRow]) -> Counter[datetime]:
    """Returns the number of rows in each minute. The rows must be sorted by time."""
    minutes: Counter[datetime] = Counter()
    start = 0
    while start < len(rows):
        minute = floor(rows[start].created_at, MINUTE)
        end = bisect_right(rows, minute, lo=start, key=lambda row: floor(row.created_at, MINUTE))
        minutes[minute], start = end - start, end
    return minutes


def store(parsed: Parsed, *, now: datetime) -> IngestResult:
    """Stores the parsed rows in one transaction. The result includes the rejected rows."""
    rows, result = _timely(parsed.agents, now=now)
    ensure_hours(hours_of(minutes_of(rows)), now=now)
    # If the outcome of a commit is unknown, retry it. Storing the same rows again is harmless.
    write = transaction.atomic(durable=True)(partial(_write, rows, parsed.states))
    result.add(retry_on_conflict(commit_with_retry)(write, earlier=lambda: None))
    result.add(IngestResult(rejections=parsed.rejections))
    return result


def _write(rows: Sequence[AgentRow], states: Sequence[tuple[Any, ...]]) -> IngestResult:
    result = _write_agents(rows) if rows else IngestResult()
    if states:
        result.add(upsert_workspaces(states))
    return result


def _timely(rows: Sequence[AgentRow], *, now: datetime) -> tuple[Sequence[AgentRow], IngestResult]:
    """Rejects rows that are too old or in the future. Rejects all rows if stats are disabled."""
    if not settings.STATS_USAGE_ENABLED:
        return _split(rows, lambda _: "agent rows are disabled", field="kind")
    # Rows are sorted by time, so checking the first and the last one is enough.
    if any(_time_error(row.created_at, now=now) for row in (*rows[:1], *rows[-1:])):
        return _split(rows, partial(_time_error, now=now))
    return rows, IngestResult()


def _time_error(moment: datetime, *, now: datetime) -> str:
    if moment > now + MAX_AHEAD:
        return f"is more than {MAX_AHEAD // MINUTE} minutes in the future"
    retention = settings.STATS_RETENTION
    oldest = max(EARLIEST, now - retention) if retention else EARLIEST
    if moment < oldest:
        return f"is before {oldest.isoformat()}, the end of the retention"
    return ""


def _split(
    rows: Sequence[AgentRow], error_of: Callable[[datetime], str], *, field: str = "created_at"
) -> tuple[Sequence[AgentRow], IngestResult]:
    """Returns the valid rows, and a result with the rejected rows.

    `error_of(created_at)` returns why a row with this time is rejected, or "" if it is accepted.
    """
    valid, result = [], IngestResult()
    for row in rows:
        if error := error_of(row.created_at):
            result.rejections.append(Rejection(row.number, field, error))
        else:
            valid.append(row)
    return valid, result


def _write_agents(rows: Sequence[AgentRow]) -> IngestResult:
    """Inserts new rows and marks their minutes. Rejects rows of hours that are not open."""
    hours = hours_of(minutes_of(rows))
    open_hours = lock_open(hours)
    result = IngestResult()
    if open_hours != hours:
        rows, result = _split(rows, partial(_hour_error, open_hours=open_hours))
    if not rows:
        return result
    inserted = _copy_all(rows) or _insert_new(rows)
    mark_stale(inserted)
    result.accepted = inserted.total()
    result.duplicates = len(rows) - result.accepted
    return result


def _hour_error(moment: datetime, *, open_hours: set[datetime]) -> str:
    hour = floor(moment, HOUR)
    if hour in open_hours:
        return ""
    if closed_among([hour]):
        return f"is in the hour {hour.isoformat()}, which is closed: its rows were dropped"
    return f"is in an old hour, and {MAX_OLD_HOURS} old hours are open already: try again tomorrow"


def _copy_all(rows: Sequence[AgentRow]) -> Counter[datetime]:
    """Copies all rows, and returns their number by minute.

    If a row is a duplicate, copies no row and returns an empty counter.
    """
    try:
        with transaction.atomic():
            _copy(rows, "stats_agentstat")
    except UniqueViolation:
        return Counter()
    return minutes_of(rows)


def _copy(rows: Sequence[AgentRow], table: str) -> None:
    with connection.cursor() as cursor, cursor.copy(_COPY.format(table=table)) as copy:
        for chunk in batched(rows, ROWS_PER_WRITE):
            copy.write(b"".join([row.line for row in chunk]))


def _insert_new(rows: Sequence[AgentRow]) -> Counter[datetime]:
    """Inserts only rows that are not duplicates. Returns the number of inserted rows by minute."""
    execute(_STAGE)
    _copy(rows, "arriving_agent_stats")
    inserted = Counter(dict(fetch_rows(_INSERT)))
    execute("DROP TABLE arriving_agent_stats")
    return inserted


# --- Workspace states -------------------------------------------------------------------------

STATE_COLUMNS = [member.column for member in WORKSPACE_MEMBERS]
_STATE_COLUMNS = ", ".join(STATE_COLUMNS)
_ARRIVING = """
jsonb_populate_recordset(NULL::stats_workspacestate, %(states)s::jsonb) WITH ORDINALITY AS arriving
"""
_NEW_VALUES = ", ".join(
    "known.is_deleted OR excluded.is_deleted" if name == "is_deleted" else f"excluded.{name}"
    for name in STATE_COLUMNS
)


def _age(table: str) -> str:
    """Returns SQL to sort states of a workspace: the build number, and the time of the job."""
    return (
        f"coalesce({table}.build_number, -1), coalesce({table}.job_updated_at, greatest("
        f"{table}.job_started_at, {table}.job_canceled_at, {table}.job_completed_at), '-infinity')"
    )


_UPSERT = f"""
INSERT INTO stats_workspacestate AS known ({_STATE_COLUMNS})
SELECT {_STATE_COLUMNS} FROM (
    SELECT *, row_number() OVER (
        PARTITION BY workspace_id
        ORDER BY ({_age("arriving")}) DESC, ordinality
    ) AS rank
    FROM {_ARRIVING} WHERE NOT (is_deleted AND build_number IS NULL)
) AS ranked
WHERE rank = 1
ORDER BY workspace_id
ON CONFLICT (workspace_id) DO UPDATE SET ({_STATE_COLUMNS}) = ({_NEW_VALUES})
WHERE ({_age("excluded")}) > ({_age("known")})
"""  # noqa: S608 - the names are constants of this package
# A deleted workspace stays deleted, even if an older state arrives later. A state with `is_deleted`
# needs no build number.
_DELETE = f"""
INSERT INTO stats_workspacestate AS known (workspace_id, is_deleted, transition, error)
SELECT DISTINCT workspace_id, true, '', '' FROM {_ARRIVING}
WHERE is_deleted ORDER BY workspace_id
ON CONFLICT (workspace_id) DO UPDATE SET is_deleted = true WHERE NOT known.is_deleted
"""  # noqa: S608 - the names are constants of this package


def upsert_workspaces(rows: Sequence[tuple[Any, ...]]) -> IngestResult:
    """Stores each state that is newer than the stored state of the workspace.

    Shape: each row is a tuple of the row number and the values in the order of WORKSPACE_MEMBERS.
    """
    states = [dict(zip(STATE_COLUMNS, values, strict=True)) for _, *values in rows]
    arriving = {"states": orjson.dumps(states).decode()}
    accepted = execute(_UPSERT, arriving) + execute(_DELETE, arriving)
    return IngestResult(accepted, duplicates=len(rows) - accepted)
