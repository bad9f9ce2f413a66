"""Reads the newest build of each workspace from Coder's database, and stores its state.

Coder's tables of workspaces, builds and jobs are not indexed by time, and grow for years. So the
first query finds only the number of each workspace's newest build, over the unique index of builds.
The second query reads only builds that are new, or had not ended before. A run reads a bounded
number of workspaces, and the next run continues.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from itertools import batched

from beside.database.connection import Reader
from beside.database.rows import Rows, Tally
from stats.ingest.ingestion import WORKSPACE
from stats.models import WorkspaceState

WORKSPACES = 20_000
# With more builds in one query, PostgreSQL would read the whole tables.
BUILDS = 1_000
FIRST, LAST = uuid.UUID(int=0), uuid.UUID(int=2**128 - 1)

_NEWEST = """
SELECT w.id AS workspace_id, b.build_number
FROM (
    SELECT id FROM workspaces WHERE NOT deleted AND id > %(after)s ORDER BY id LIMIT %(limit)s
) AS w LEFT JOIN LATERAL (
    SELECT build_number FROM workspace_builds
    WHERE workspace_id = w.id ORDER BY build_number DESC LIMIT 1
) AS b ON true
ORDER BY w.id
"""
# In SQL_ASCII, `left` counts bytes, so the last character may be incomplete.
_ERROR = r"""
CASE WHEN length(j.error) > 1000 THEN regexp_replace(left(j.error, 1000), '[^\u0001-\u007f]+$', '')
     ELSE j.error END AS error
"""
# coderd does not set `updated_at` when it cancels a job.
_STATES = f"""
SELECT workspace_id, build_number, b.transition::text,
       j.started_at AS job_started_at, j.canceled_at AS job_canceled_at,
       j.completed_at AS job_completed_at, {_ERROR},
       greatest(j.updated_at, j.started_at, j.canceled_at, j.completed_at) AS job_updated_at
FROM unnest(%(ids)s::uuid[], %(numbers)s::int[]) AS newest (workspace_id, build_number)
JOIN workspace_builds AS b USING (workspace_id, build_number)
JOIN provisioner_jobs AS j ON j.id = b.job_id
"""  # noqa: S608 - the error is a constant
_DELETED = "SELECT id AS workspace_id, true AS deleted FROM workspaces"
_DELETED += " WHERE id = ANY(%(ids)s::uuid[]) AND deleted"


def follow_workspaces(reader: Reader, after: uuid.UUID, tally: Tally) -> uuid.UUID:
    """Stores the states of the next workspaces that have changed.

    Returns the id after which the next run continues.
    """
    newest = reader.rows(_NEWEST, after=after, limit=WORKSPACES)
    is_last = len(newest) < WORKSPACES
    until = LAST if is_last else uuid.UUID(newest[-1]["workspace_id"])
    states = WorkspaceState.objects.filter(
        is_deleted=False, workspace_id__gt=after, workspace_id__lte=until
    ).values_list("workspace_id", "build_number", "job_completed_at")
    # The build number of each stored workspace, and whether its job has ended.
    stored = {str(workspace): (number, ended is not None) for workspace, number, ended in states}
    for rows in _changed(reader, newest, stored):
        tally.store(rows, WORKSPACE)
    return FIRST if is_last else until


def _changed(
    reader: Reader, newest: Rows, stored: dict[str, tuple[int | None, bool]]
) -> Iterator[Rows]:
    """Yields the new states: without a build, of new or unfinished builds, and deleted."""
    without_build: Rows = []
    builds: list[tuple[str, int]] = []
    for row in newest:
        number = row["build_number"]
        known = stored.pop(row["workspace_id"], None)
        if number is None:
            without_build += [] if known else [row]
        elif known != (number, True):
            builds.append((row["workspace_id"], number))
    yield without_build
    for some in batched(builds, BUILDS):
        ids, numbers = map(list, zip(*some, strict=True))
        yield reader.rows(_STATES, ids=ids, numbers=numbers)
    # The others are deleted, or do not come from this database.
    for others in batched(stored, BUILDS):
        yield reader.rows(_DELETED, ids=list(others))
