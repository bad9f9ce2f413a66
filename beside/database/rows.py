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
from beside.models import DatabaseReading
from kernel.humanize import plural
from stats.ingest.ingestion import AGENT, parse, store
from stats.ingest.rows import AGENT_MEMBERS
from stats.models import MINUTE, AgentStat

# A row can arrive until a row is in the table whose `created_at` is later by this time.
MAX_LATENESS = timedelta(minutes=2)
BATCH = 10_000

_COLUMNS = ", ".join(member.name for member in AGENT_MEMBERS)
_NEWEST = """
SELECT coalesce(max(created_at), now()) AS newest FROM workspace_agent_stats
WHERE created_at <= now()
"""
_OLDEST = "SELECT min(created_at) AS oldest FROM workspace_agent_stats"
_BATCH = f"""
SELECT {_COLUMNS} FROM workspace_agent_stats
WHERE (created_at, id) > (%(created_at)s, %(id)s) AND created_at <= %(until)s
ORDER BY created_at, id LIMIT {BATCH}
"""  # noqa: S608 - the names are constants of this project
_IDS = """
SELECT id FROM workspace_agent_stats
WHERE created_at > %(since)s AND created_at <= %(until)s
"""
_BY_ID = f"""
SELECT {_COLUMNS} FROM workspace_agent_stats
WHERE created_at > %(since)s AND created_at <= %(until)s AND id = ANY(%(ids)s::uuid[])
"""  # noqa: S608 - the names are constants of this project

type Rows = list[dict[str, Any]]


@dataclass(slots=True)
class Tally:
    """Stores rows, and counts the stored, duplicate and skipped ones.

    `now` is the time when the run began. `reason` is why the first row was skipped.
    """

    now: datetime
    stored: int = 0
    duplicate: int = 0
    skipped: int = 0
    reason: str = ""

    def store(self, rows: Sequence[dict[str, Any]], kind: str) -> None:
        """Stores rows of Coder's database in one transaction, and counts them."""
        result = store(parse(enumerate(rows, 1), kind=kind), now=self.now)
        self.stored += result.accepted
        self.duplicate += result.duplicate
        self.skipped += len(result.rejected)
        for rejection in result.rejected:
            self.reason = self.reason or f"{rejection.field} {rejection.detail}".strip()

    @property
    def problem(self) -> str:
        """Returns how many rows were skipped, and the reason for the first one, or ""."""
        return f"{plural(self.skipped, 'row')} skipped: {self.reason}." if self.skipped else ""


def oldest_row(reader: Reader) -> datetime | None:
    """Returns the time of the oldest agent row that Coder still has, or None without rows."""
    oldest = reader.rows(_OLDEST)[0]["oldest"]
    return datetime.fromisoformat(oldest) if oldest else None


def newest_time(reader: Reader) -> datetime:
    """Returns the time of the newest agent row. It is never in the future."""
    return datetime.fromisoformat(reader.rows(_NEWEST)[0]["newest"])


def store_new_rows(
    reader: Reader, last: DatabaseReading, until: datetime, tally: Tally
) -> Iterator[int]:
    """Stores the agent rows after the position, up to the time, in batches.

    Stores the new position after each batch, and yields the number of the batch's rows.
    """
    while rows := reader.rows(_BATCH, created_at=last.created_at, id=last.row_id, until=until):
        tally.store(rows, AGENT)
        last.created_at = datetime.fromisoformat(rows[-1]["created_at"])
        last.row_id = uuid.UUID(rows[-1]["id"])
        last.save()
        yield len(rows)
        if len(rows) < BATCH:
            return


def late_rows(reader: Reader, since: datetime, until: datetime) -> Iterator[Rows]:
    """Yields the rows in (since, until] that are not stored yet. Finds them by their ids."""
    while since < until:
        end = min(since + MINUTE, until)
        stored = AgentStat.objects.filter(created_at__gt=since, created_at__lte=end)
        known = set(map(str, stored.values_list("id", flat=True)))
        period = {"since": since, "until": end}
        missing = [row["id"] for row in reader.rows(_IDS, **period) if row["id"] not in known]
        for ids in batched(missing, BATCH):
            yield reader.rows(_BY_ID, **period, ids=list(ids))
        since = end
