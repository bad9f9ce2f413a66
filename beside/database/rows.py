"""Reads agent rows from Coder's database, and stores them.

coderd writes agent rows in batches, so a row can arrive after rows with a later `created_at`.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import batched
from typing import Any

from beside.database.connection import Reader
from beside.models import ReaderProgress
from kernel.text.humanize import plural
from stats.ingest.ingestion import AGENT, parse, store
from stats.ingest.members import BY_NAME, PLAIN, UNKNOWN_SESSIONS
from stats.models import DAY, KIND_COLUMNS, MINUTE, AgentStat

AGENT_ROWS = "workspace_agent_stats"
# The columns that are read in all releases. Those with sessions depend on the release.
TABLES = {
    AGENT_ROWS: PLAIN,
    "workspaces": ("id", "deleted"),
    "workspace_builds": ("workspace_id", "build_number", "transition", "job_id"),
    "provisioner_jobs": ("id", "started_at", "canceled_at", "completed_at", "updated_at", "error"),
}

# A row can arrive until a row is in the table whose `created_at` is later by this time.
MAX_LATENESS = timedelta(minutes=2)
BATCH = 10_000

# Coder converts the sessions of this period when it is upgraded to 2.38. Those of older rows are
# lost.
CONVERTED = DAY

_NEWEST = """
SELECT coalesce(max(created_at), now()) AS newest FROM workspace_agent_stats
WHERE created_at <= now()
"""
_OLDEST = "SELECT min(created_at) AS oldest FROM workspace_agent_stats"
_FIRST_NAMED = """
SELECT min(created_at) AS first FROM workspace_agent_stats
WHERE created_at < %(until)s AND session_counts <> '{}'
"""
_ONE = "SELECT * FROM workspace_agent_stats LIMIT 1"
_BATCH = f"""
SELECT * FROM workspace_agent_stats
WHERE (created_at, id) > (%(created_at)s, %(id)s) AND created_at <= %(until)s
ORDER BY created_at, id LIMIT {BATCH}
"""  # noqa: S608 - the number is a constant
_IDS = """
SELECT id FROM workspace_agent_stats
WHERE created_at > %(since)s AND created_at <= %(until)s
"""
_BY_ID = """
SELECT * FROM workspace_agent_stats
WHERE created_at > %(since)s AND created_at <= %(until)s AND id = ANY(%(ids)s::uuid[])
"""

type Rows = list[dict[str, Any]]


def grant(table: str, role: str) -> str:
    """Returns the statement that allows the role to read the necessary columns of the table.

    An upgrade of Coder may add columns to agent rows. This table has no secrets, so the role may
    read all its columns. The other tables may contain secrets.
    """
    columns = "" if table == AGENT_ROWS else f" ({', '.join(TABLES[table])})"
    return f"GRANT SELECT{columns} ON {table} TO {role};"


@dataclass(slots=True)
class Tally:
    """Stores rows, and counts the stored, duplicate and skipped ones.

    `now` is the time when the run began. `reason` is why the first row was skipped.
    """

    now: datetime
    stored: int = 0
    duplicates: int = 0
    skipped: int = 0
    reason: str = ""

    def store(self, rows: Sequence[dict[str, Any]], kind: str) -> None:
        """Stores rows of Coder's database in one transaction, and counts them."""
        result = store(parse(enumerate(rows, 1), kind=kind), now=self.now)
        self.stored += result.accepted
        self.duplicates += result.duplicates
        self.skipped += len(result.rejections)
        for rejection in result.rejections:
            self.reason = self.reason or f"{rejection.field} {rejection.detail}".strip()

    @property
    def problem(self) -> str:
        """Returns how many rows were skipped, and the reason for the first one, or ""."""
        return f"{plural(self.skipped, 'row')} skipped: {self.reason}." if self.skipped else ""


class AgentTable:
    """Reads rows of Coder's table of agent rows, with all columns that the table has at the time.

    `since` is the time of the oldest row to read. Coder 2.38 does not have the sessions of rows
    that were too old when it was upgraded: their sessions are `{}`, as of a row without sessions.
    So until `unknown_until`, the sessions of such rows are read as unknown.
    """

    def __init__(self, reader: Reader, *, since: datetime, now: datetime) -> None:
        self.reader = reader
        self.unknown_until: datetime | None = None
        converted_from = now - CONVERTED
        columns = next(iter(reader.rows(_ONE)), {}) if since < converted_from else {}
        if columns and KIND_COLUMNS[0] not in columns:
            first = reader.rows(_FIRST_NAMED, until=converted_from)[0]["first"]
            self.unknown_until = datetime.fromisoformat(first) if first else converted_from

    def rows(self, statement: str, **values: Any) -> Rows:
        """Returns the rows of a query. Raises: CoderDatabaseError."""
        found = self.reader.rows(statement, **values)
        if until := self.unknown_until:
            for row in found:
                if not row[BY_NAME] and datetime.fromisoformat(row["created_at"]) < until:
                    row[BY_NAME] = UNKNOWN_SESSIONS
        return found

    def unknown(self) -> int:
        """Returns the number of stored rows whose sessions Coder does not have any more."""
        if not self.unknown_until:
            return 0
        stored = AgentStat.objects.filter(created_at__lt=self.unknown_until)
        return stored.filter(**{f"{KIND_COLUMNS[0]}__isnull": True}).count()


def oldest_row(reader: Reader) -> datetime | None:
    """Returns the time of the oldest agent row that Coder still has, or None without rows."""
    oldest = reader.rows(_OLDEST)[0]["oldest"]
    return datetime.fromisoformat(oldest) if oldest else None


def newest_time(reader: Reader) -> datetime:
    """Returns the time of the newest agent row. It is never in the future."""
    return datetime.fromisoformat(reader.rows(_NEWEST)[0]["newest"])


def store_new_rows(
    table: AgentTable, last: ReaderProgress, until: datetime, tally: Tally
) -> Iterator[int]:
    """Stores the agent rows after the position, up to the time, in batches.

    Stores the new position after each batch, and yields the number of the batch's rows.
    """
    while rows := table.rows(
        _BATCH, created_at=last.last_row_created_at, id=last.last_row_id, until=until
    ):
        tally.store(rows, AGENT)
        last.last_row_created_at = datetime.fromisoformat(rows[-1]["created_at"])
        last.last_row_id = uuid.UUID(rows[-1]["id"])
        last.save()
        yield len(rows)
        if len(rows) < BATCH:
            return


def late_rows(table: AgentTable, since: datetime, until: datetime) -> Iterator[Rows]:
    """Yields the rows in (since, until] whose ids are not stored yet."""
    while since < until:
        end = min(since + MINUTE, until)
        stored = AgentStat.objects.filter(created_at__gt=since, created_at__lte=end)
        known = set(map(str, stored.values_list("id", flat=True)))
        period = {"since": since, "until": end}
        missing = [row["id"] for row in table.reader.rows(_IDS, **period) if row["id"] not in known]
        for ids in batched(missing, BATCH):
            yield table.rows(_BY_ID, **period, ids=list(ids))
        since = end
