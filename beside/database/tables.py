"""The tables and columns of Coder's database that are read, and the right to read them."""

from __future__ import annotations

from collections.abc import Collection

from stats.ingest.rows import AGENT_MEMBERS, BY_NAME
from stats.models import KIND_COLUMNS

AGENT_ROWS = "workspace_agent_stats"
# The table of agent rows has some of these columns, depending on the release of Coder.
SESSION_COLUMNS = (BY_NAME, *KIND_COLUMNS)
PLAIN = tuple(member.name for member in AGENT_MEMBERS if member.name not in SESSION_COLUMNS)
# The columns that are read in all releases.
TABLES = {
    AGENT_ROWS: PLAIN,
    "workspaces": ("id", "deleted"),
    "workspace_builds": ("workspace_id", "build_number", "transition", "job_id"),
    "provisioner_jobs": ("id", "started_at", "canceled_at", "completed_at", "updated_at", "error"),
}


def session_columns(found: Collection[str]) -> tuple[str, ...]:
    """Returns the columns with sessions that are read, of those that the table has.

    Coder 2.38 replaces the four columns by one. Its upgrade may leave both for some time.
    """
    kinds = KIND_COLUMNS if set(KIND_COLUMNS) <= set(found) else ()
    if BY_NAME in found:
        return (BY_NAME, *kinds)
    return KIND_COLUMNS if set(KIND_COLUMNS) & set(found) else (BY_NAME,)


def grant(table: str, role: str) -> str:
    """Returns the statement that allows the role to read the necessary columns of the table.

    An upgrade of Coder may add columns to agent rows. This table has no secrets, so the role may
    read all its columns. The other tables may contain secrets.
    """
    columns = "" if table == AGENT_ROWS else f" ({', '.join(TABLES[table])})"
    return f"GRANT SELECT{columns} ON {table} TO {role};"
