"""Takes in the states of workspaces: the newest build of each counts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db import connection

from stats.ingest.rows import WORKSPACE_MEMBERS, Verdicts

STAGE = "arriving_workspace_states"
WORKSPACE_COLUMNS = [member.name for member in WORKSPACE_MEMBERS]
_COLUMNS = ", ".join(WORKSPACE_COLUMNS)
_CREATE = f"""
CREATE TEMPORARY TABLE {STAGE} ON COMMIT DROP AS
SELECT 0::bigint AS row_number, {_COLUMNS} FROM stats_workspacestate WITH NO DATA
"""  # noqa: S608 - the names are constants of this package
_NEWS = ", ".join(
    "known.deleted OR excluded.deleted" if name == "deleted" else f"excluded.{name}"
    for name in WORKSPACE_COLUMNS
)


def _age(table: str) -> str:
    """Orders a workspace's states: by its build, then by how far the job is."""
    return (
        f"coalesce({table}.build_number, -1), coalesce({table}.job_updated_at, greatest("
        f"{table}.job_started_at, {table}.job_canceled_at, {table}.job_completed_at), '-infinity')"
    )


_UPSERT = f"""
INSERT INTO stats_workspacestate AS known ({_COLUMNS})
SELECT {_COLUMNS} FROM (
    SELECT *, row_number() OVER (
        PARTITION BY workspace_id
        ORDER BY ({_age("arriving")}) DESC, row_number
    ) AS place
    FROM {STAGE} AS arriving WHERE NOT (deleted AND build_number IS NULL)
) AS ranked
WHERE place = 1
ORDER BY workspace_id
ON CONFLICT (workspace_id) DO UPDATE SET ({_COLUMNS}) = ({_NEWS})
WHERE ({_age("excluded")}) > ({_age("known")})
"""  # noqa: S608 - the names are constants of this package
# A workspace that is gone never comes back, whichever state says so and whenever it comes. Who
# only says that it is gone need not know its build.
_DELETE = f"""
INSERT INTO stats_workspacestate AS known (workspace_id, deleted, transition, error)
SELECT DISTINCT workspace_id, true, '', '' FROM {STAGE} WHERE deleted ORDER BY workspace_id
ON CONFLICT (workspace_id) DO UPDATE SET deleted = true WHERE NOT known.deleted
"""  # noqa: S608 - the names are constants of this package


def take_workspaces(rows: Sequence[tuple[Any, ...]]) -> Verdicts:
    """Takes in each state that is newer than what is known of its workspace.

    Shape of a row: its number, and its values in the order of WORKSPACE_MEMBERS.
    """
    with connection.cursor() as cursor:
        cursor.execute(_CREATE)
        with cursor.copy(f"COPY {STAGE} (row_number, {_COLUMNS}) FROM STDIN") as copy:
            for row in rows:
                copy.write_row(row)
        news = cursor.execute(_UPSERT).rowcount + cursor.execute(_DELETE).rowcount
        cursor.execute(f"DROP TABLE {STAGE}")
    return Verdicts(accepted=news, duplicate=len(rows) - news)
