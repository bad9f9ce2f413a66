"""The one sink for agent rows and workspace states, whichever way they come in.

Each agent row is kept once, and its minute is marked for the builder. New rows go by COPY straight
into their partitions. Only where one of them turns out to be known, they go through a temporary
table first, which takes half as long again.
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

from django.conf import settings
from django.db import connection, transaction
from psycopg.errors import UniqueViolation

from kernel.db.connections import commit_with_retry, unless_deadlocked
from stats.ingest.rows import (
    AGENT_MEMBERS,
    WORKSPACE_MEMBERS,
    AgentRow,
    Member,
    Numbered,
    Rejection,
    RowError,
    Verdicts,
    agent_row,
    check_object,
    parse_row,
)
from stats.ingest.workspaces import take_workspaces
from stats.rollups.hours import (
    AHEAD,
    EARLIEST,
    MAX_OLD_HOURS,
    MINUTE,
    closed_among,
    ensure_hours,
    hour_of,
    hours_of,
    lock_open,
    mark_stale,
    minute_of,
)

AGENT: Final = "agent"
WORKSPACE: Final = "workspace"
MEMBERS: dict[str, tuple[Member, ...]] = {AGENT: AGENT_MEMBERS, WORKSPACE: WORKSPACE_MEMBERS}
PIECE_ROWS = 1_000

_COLUMNS = ", ".join(member.name for member in AGENT_MEMBERS)
_COPY = f"COPY {{table}} ({_COLUMNS}) FROM STDIN (FORMAT csv, ESCAPE '\\')"
_STAGE = """
CREATE TEMPORARY TABLE arriving_agent_stats (LIKE stats_agentstat) ON COMMIT DROP
"""
# In the order of the key, so that two transactions with the same rows do not deadlock.
_INSERT = f"""
WITH kept AS (
    INSERT INTO stats_agentstat ({_COLUMNS})
    SELECT {_COLUMNS} FROM arriving_agent_stats ORDER BY created_at, id
    ON CONFLICT DO NOTHING RETURNING created_at
)
SELECT date_trunc('minute', created_at, 'UTC'), count(*) FROM kept GROUP BY 1
"""  # noqa: S608 - the names are constants of this package


@dataclass(frozen=True, slots=True)
class Parsed:
    """Good rows of each kind, those of agents sorted by their key, and those that were refused."""

    agents: Sequence[AgentRow] = ()
    states: list[tuple[Any, ...]] = field(default_factory=list)
    rejected: list[Rejection] = field(default_factory=list)


def ingest(rows: Iterable[Numbered], *, now: datetime) -> Verdicts:
    """Takes in every good row, all in one transaction. Returns what happened to each.

    Each row names its kind in its member `kind`. Rows that came before count as duplicates.
    """
    return take_in(parse(rows), now=now)


def parse(rows: Iterable[Numbered], *, kind: str = "") -> Parsed:
    """Parses rows of that kind, or of the kind that each names, without a look at the database."""
    agents: list[AgentRow] = []
    found = Parsed()
    for number, value in rows:
        try:
            if (kind or _kind_of(value)) == AGENT:
                agents.append(agent_row(number, value))
            else:
                found.states.append((number, *parse_row(value, members=WORKSPACE_MEMBERS)))
        except RowError as error:
            found.rejected.append(Rejection(number, error.field, error.detail))
    return Parsed(sorted(agents), found.states, found.rejected)


def _kind_of(value: Any) -> str:
    check_object(value)
    kind = value.get("kind")
    if kind not in (AGENT, WORKSPACE):
        raise RowError("kind", f"must be {AGENT} or {WORKSPACE}")
    return str(kind)


def minutes_of(rows: Sequence[AgentRow]) -> Counter[datetime]:
    """Counts sorted rows by minute; where a minute ends is found by bisection."""
    minutes: Counter[datetime] = Counter()
    start = 0
    while start < len(rows):
        minute = minute_of(rows[start].created_at)
        end = bisect_right(rows, minute, lo=start, key=lambda row: minute_of(row.created_at))
        minutes[minute], start = end - start, end
    return minutes


def take_in(parsed: Parsed, *, now: datetime) -> Verdicts:
    """Takes in the parsed rows, all in one transaction. Returns what happened to each."""
    rows, verdicts = _timely(parsed.agents, now=now)
    ensure_hours(hours_of(minutes_of(rows)), now=now)
    # Rows come twice without harm, so a commit whose answer is lost is tried again as it was.
    keep = partial(_kept, rows, parsed.states)
    verdicts.add(unless_deadlocked(partial(commit_with_retry, keep, earlier=lambda: None)))
    verdicts.add(Verdicts(rejected=parsed.rejected))
    return verdicts


def _kept(rows: Sequence[AgentRow], states: Sequence[tuple[Any, ...]]) -> Verdicts:
    verdicts = _keep_agents(rows) if rows else Verdicts()
    if states:
        verdicts.add(take_workspaces(states))
    return verdicts


def _timely(rows: Sequence[AgentRow], *, now: datetime) -> tuple[Sequence[AgentRow], Verdicts]:
    """Refuses rows of times that are never kept."""
    if not settings.STATS_USAGE_ENABLED:
        return _sifted(rows, lambda _: "agent rows are switched off", field="kind")
    # They are in the order of time, so the first and the last tell of all.
    if any(_untimely(row.created_at, now=now) for row in (*rows[:1], *rows[-1:])):
        return _sifted(rows, partial(_untimely, now=now))
    return rows, Verdicts()


def _untimely(moment: datetime, *, now: datetime) -> str:
    if moment > now + AHEAD:
        return f"is more than {AHEAD // MINUTE} minutes in the future"
    retention = settings.STATS_RETENTION
    oldest = max(EARLIEST, now - retention) if retention else EARLIEST
    if moment < oldest:
        return f"is before {oldest.isoformat()}, and nothing that old is kept"
    return ""


def _sifted(
    rows: Sequence[AgentRow], fault_of: Callable[[datetime], str], *, field: str = "created_at"
) -> tuple[Sequence[AgentRow], Verdicts]:
    """Returns the rows whose time has no fault, and the others as rejected."""
    good, verdicts = [], Verdicts()
    for row in rows:
        if fault := fault_of(row.created_at):
            verdicts.rejected.append(Rejection(row.number, field, fault))
        else:
            good.append(row)
    return good, verdicts


def _keep_agents(rows: Sequence[AgentRow]) -> Verdicts:
    """Keeps each new row of an open hour."""
    hours = hours_of(minutes_of(rows))
    open_hours = lock_open(hours)
    verdicts = Verdicts()
    if open_hours != hours:
        rows, verdicts = _sifted(rows, partial(_unplaced, open_hours=open_hours))
    if not rows:
        return verdicts
    kept = _copied(rows) or _inserted(rows)
    mark_stale(kept)
    verdicts.accepted = kept.total()
    verdicts.duplicate = len(rows) - verdicts.accepted
    return verdicts


def _unplaced(moment: datetime, *, open_hours: set[datetime]) -> str:
    hour = hour_of(moment)
    if hour in open_hours:
        return ""
    if closed_among([hour]):
        return f"is of the hour {hour.isoformat()}, which is closed: its rows were dropped"
    return f"finds no room: {MAX_OLD_HOURS} hours of the past are open; come again in a day"


def _copied(rows: Sequence[AgentRow]) -> Counter[datetime]:
    """Copies all of the rows, or none if one is known. Returns their number by minute."""
    try:
        with transaction.atomic():
            _copy(rows, "stats_agentstat")
    except UniqueViolation:
        return Counter()
    return minutes_of(rows)


def _copy(rows: Sequence[AgentRow], table: str) -> None:
    with connection.cursor() as cursor, cursor.copy(_COPY.format(table=table)) as copy:
        for some in batched(rows, PIECE_ROWS):
            copy.write(b"".join([row.line for row in some]))


def _inserted(rows: Sequence[AgentRow]) -> Counter[datetime]:
    """Keeps the rows that are new. Returns their number by minute."""
    with connection.cursor() as cursor:
        cursor.execute(_STAGE)
        _copy(rows, "arriving_agent_stats")
        cursor.execute(_INSERT)
        kept = Counter(dict(cursor.fetchall()))
        cursor.execute("DROP TABLE arriving_agent_stats")
    return kept
