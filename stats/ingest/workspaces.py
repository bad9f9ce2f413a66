"""Stores the newest workspace state of each workspace."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson

from stats.ingest.rows import WORKSPACE_MEMBERS, IngestResult
from stats.sql import execute

COLUMNS = [member.column for member in WORKSPACE_MEMBERS]
_COLUMNS = ", ".join(COLUMNS)
_ARRIVING = """
jsonb_populate_recordset(NULL::stats_workspacestate, %(states)s::jsonb) WITH ORDINALITY AS arriving
"""
_NEW_VALUES = ", ".join(
    "known.is_deleted OR excluded.is_deleted" if name == "is_deleted" else f"excluded.{name}"
    for name in COLUMNS
)


def _age(table: str) -> str:
    """Returns SQL to sort states of a workspace: the build number, and the time of the job."""
    return (
        f"coalesce({table}.build_number, -1), coalesce({table}.job_updated_at, greatest("
        f"{table}.job_started_at, {table}.job_canceled_at, {table}.job_completed_at), '-infinity')"
    )


_UPSERT = f"""
INSERT INTO stats_workspacestate AS known ({_COLUMNS})
SELECT {_COLUMNS} FROM (
    SELECT *, row_number() OVER (
        PARTITION BY workspace_id
        ORDER BY ({_age("arriving")}) DESC, ordinality
    ) AS rank
    FROM {_ARRIVING} WHERE NOT (is_deleted AND build_number IS NULL)
) AS ranked
WHERE rank = 1
ORDER BY workspace_id
ON CONFLICT (workspace_id) DO UPDATE SET ({_COLUMNS}) = ({_NEW_VALUES})
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
    states = [dict(zip(COLUMNS, values, strict=True)) for _, *values in rows]
    arriving = {"states": orjson.dumps(states).decode()}
    accepted = execute(_UPSERT, arriving) + execute(_DELETE, arriving)
    return IngestResult(accepted, duplicates=len(rows) - accepted)
