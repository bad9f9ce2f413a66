"""Imports the history that Coder's database still has: agent rows and builds of workspaces.

Coder keeps agent rows for about a day, and builds forever. So the number of running, stopped and
failed workspaces is known for all times since the first build. The time when a build was created is
not read, so pending workspaces are not counted.
"""

from __future__ import annotations

import sys
import uuid
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import datetime
from itertools import accumulate, groupby
from operator import itemgetter
from typing import Any

from tqdm import tqdm

from beside.database.connection import Reader
from beside.database.rows import (
    BATCH,
    MAX_LATENESS,
    AgentTable,
    Tally,
    newest_time,
    oldest_row,
    store_new_rows,
)
from beside.models import ReaderProgress
from kernel.text.durations import EPOCH
from stats.models import WorkspaceState
from stats.services import FIVE_MINUTES, SECOND
from stats.states import STATES, state_after

# The interval of progress reports if the output is not a terminal.
REPORT_SECONDS = 10.0
TRANSITIONS = frozenset(WorkspaceState.Transition)

_ESTIMATE = """
SELECT greatest(max(reltuples), 0)::bigint AS rows
FROM pg_class WHERE oid = to_regclass(%(table)s)
"""
# A canceled job has ended at that time.
_BUILDS = f"""
SELECT workspace_id, build_number, transition, coalesce(w.deleted, true) AS deleted,
       coalesce(j.started_at, least(j.canceled_at, j.completed_at)) AS begun_at,
       least(j.canceled_at, j.completed_at) AS ended_at,
       coalesce(j.error <> '', false) AS has_error, j.canceled_at IS NOT NULL AS is_canceled
FROM (
    SELECT workspace_id, build_number, transition::text, job_id FROM workspace_builds
    WHERE (workspace_id, build_number) > (%(workspace)s, %(number)s)
    ORDER BY workspace_id, build_number LIMIT {BATCH}
) AS b
LEFT JOIN provisioner_jobs AS j ON j.id = b.job_id
LEFT JOIN workspaces AS w ON w.id = b.workspace_id
ORDER BY workspace_id, build_number
"""  # noqa: S608 - the number is a constant


def progress(reader: Reader, table: str, unit: str) -> tqdm[Any]:
    """Returns a progress bar with the rate and the time left. The total is an estimate."""
    (estimate,) = reader.rows(_ESTIMATE, table=table)
    seconds = 0.1 if sys.stderr.isatty() else REPORT_SECONDS
    return tqdm(
        total=estimate["rows"] or None,
        desc=table,
        unit=unit,
        unit_scale=True,
        mininterval=seconds,
        delay=seconds,
    )


# --- Agent rows -------------------------------------------------------------------------------


def import_rows(reader: Reader, tally: Tally) -> tuple[datetime | None, int]:
    """Stores all agent rows. Returns the time of the oldest row, or None without rows.

    Also returns the number of stored rows whose sessions Coder does not have any more. Continues
    where the last import has ended or was stopped.
    """
    oldest = oldest_row(reader)
    if oldest is None:
        return None, 0
    table = AgentTable(reader, since=oldest, now=tally.now)
    last, _ = ReaderProgress.of(ReaderProgress.Reader.HISTORY, start=oldest, now=tally.now)
    # Late rows may have arrived after the last import.
    last.last_row_created_at -= MAX_LATENESS
    last.read_at = tally.now
    with progress(reader, "workspace_agent_stats", " rows") as bar:
        for number in store_new_rows(table, last, newest_time(reader), tally):
            bar.update(number)
    return oldest, table.unknown()


# --- Workspaces -------------------------------------------------------------------------------


class StateCounts:
    """The number of workspaces in each state, every five minutes since the first build.

    The times are those of backfilled snapshots: the last second of each interval.
    """

    def __init__(self) -> None:
        self.workspaces = 0
        self.unknown: Counter[str] = Counter()
        self._changes: dict[str, Counter[int]] = {state: Counter() for state in STATES}
        self._sums: dict[str, tuple[list[int], list[int]]] = {}

    def add(self, builds: Iterable[dict[str, Any]]) -> None:
        """Adds a workspace with its builds, oldest first."""
        self.workspaces += 1
        state, moment = "", EPOCH
        for build in builds:
            if build["transition"] not in TRANSITIONS:
                self.unknown[build["transition"]] += 1
                continue
            result = state_after(
                build["transition"], has_error=build["has_error"], is_canceled=build["is_canceled"]
            )
            for after, at in (("building", build["begun_at"]), (result, build["ended_at"])):
                if at:
                    # Clocks differ, so a build may seem to begin before the previous one ended.
                    moment = max(moment, datetime.fromisoformat(at))
                    self._change(state, after, moment)
                    state = after
        if build["deleted"]:
            # The time of the deletion is known only if the last build deleted the workspace.
            self._change(state, "", moment)

    def _change(self, before: str, after: str, moment: datetime) -> None:
        interval = -(-(moment - EPOCH + SECOND) // FIVE_MINUTES)
        for state, number in ((before, -1), (after, 1)):
            if state:
                self._changes[state][interval] += number

    def finish(self) -> datetime | None:
        """Adds up the changes. Returns the time of the first one, or None without builds."""
        for state, changes in self._changes.items():
            intervals = sorted(changes)
            sums = accumulate((changes[interval] for interval in intervals), initial=0)
            self._sums[state] = intervals, list(sums)
        firsts = [intervals[0] for intervals, _ in self._sums.values() if intervals]
        return EPOCH + min(firsts) * FIVE_MINUTES - SECOND if firsts else None

    def at(self, moment: datetime) -> dict[str, int]:
        """Returns the number of workspaces in each state. Shape: {state: count}."""
        interval = (moment - EPOCH + SECOND) // FIVE_MINUTES
        return {
            state: sums[bisect_right(intervals, interval)]
            for state, (intervals, sums) in self._sums.items()
        }


def read_builds(reader: Reader) -> StateCounts:
    """Reads all builds, and returns the counts of workspaces that follow from them."""
    counts = StateCounts()
    with progress(reader, "workspace_builds", " builds") as bar:
        for _, group in groupby(_builds(reader, bar), key=itemgetter("workspace_id")):
            counts.add(group)
    return counts


def _builds(reader: Reader, bar: tqdm[Any]) -> Iterator[dict[str, Any]]:
    workspace, number = str(uuid.UUID(int=0)), 0
    while rows := reader.rows(_BUILDS, workspace=workspace, number=number):
        yield from rows
        bar.update(len(rows))
        workspace, number = rows[-1]["workspace_id"], rows[-1]["build_number"]
