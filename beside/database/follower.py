"""Follows Coder's database: stores the agent rows and workspace states that are new.

The position is stored after the rows. If the process is killed in between, the next run reads the
rows again, and they count once.
"""

from __future__ import annotations

import logging
import time
from datetime import datetime, timedelta

from django.conf import settings

from beside.client import MAX_BYTES, CoderUnavailableError, ask
from beside.database.connection import Reader, reading
from beside.database.rows import (
    MAX_LATENESS,
    AgentTable,
    Tally,
    late_rows,
    newest_time,
    oldest_row,
    store_new_rows,
)
from beside.database.workspaces import follow_workspaces
from beside.models import ReaderProgress
from stats.ingest.ingestion import AGENT
from stats.statistics import USAGE_EXPERIMENT, WINDOW

logger = logging.getLogger(__name__)

JOB = "follow_coder_database"
# The first run reads the rows that the next snapshot needs. `history` reads older rows.
FIRST_RUN = WINDOW + MAX_LATENESS
# Coder keeps rows for about a day. So rows can have been deleted only after a longer pause.
LONG_PAUSE = timedelta(hours=1)
# The maximum time for reading agent rows in one run. The next run continues.
RUN_SECONDS = 60.0


def follow(now: datetime) -> int:
    """Stores what is new in Coder's database. Returns the number of stored rows and states.

    Raises: CoderDatabaseError.
    """
    tally = Tally(now)
    with reading() as reader:
        until = newest_time(reader)
        last = _last_run(reader, until, now=now)
        if settings.STATS_USAGE_ENABLED:
            _follow_agents(reader, last, until, tally)
        last.last_workspace_id = follow_workspaces(reader, last.last_workspace_id, tally)
    if tally.problem and tally.problem != last.problem:
        logger.warning("Coder's database: %s", tally.problem)
    last.read_at, last.problem = now, tally.problem
    last.has_usage_experiment = _asked_usage(last.has_usage_experiment)
    last.save()
    return tally.stored


def _last_run(reader: Reader, until: datetime, *, now: datetime) -> ReaderProgress:
    """Returns the state of the last run. Records whether Coder has deleted unread rows."""
    follower = ReaderProgress.Reader.FOLLOWER
    last, created = ReaderProgress.of(follower, start=until - FIRST_RUN, now=now)
    if not created and until - last.last_row_created_at > LONG_PAUSE:
        oldest = oldest_row(reader)
        if oldest and oldest > last.last_row_created_at:
            last.missing_since, last.missing_until = last.last_row_created_at, oldest
            logger.warning("Coder's database: %s", last.gap)
    return last


def _follow_agents(reader: Reader, last: ReaderProgress, until: datetime, tally: Tally) -> None:
    """Stores late rows, and then the rows after the position, up to the time.

    `until` is the time of the newest row when the run began. So rows that are older than it by
    MAX_LATENESS are complete.
    """
    ends = time.monotonic() + RUN_SECONDS
    table = AgentTable(reader, since=last.settled_until, now=tally.now)
    # Each look for late rows reads ids again, so look only every two minutes, whether or not newer
    # rows arrive. A clock that was set back must not delay the next look.
    looks = not timedelta(0) <= tally.now - last.late_rows_read_at < MAX_LATENESS
    if looks:
        for rows in late_rows(table, last.settled_until, last.last_row_created_at):
            tally.store(rows, AGENT)
    for _ in store_new_rows(table, last, until, tally):
        if time.monotonic() > ends:
            break
    if looks:
        # A replica that lags has not received the late rows after `until` yet.
        settled_until = min(last.last_row_created_at, until) - MAX_LATENESS
        last.settled_until = max(last.settled_until, settled_until)
        last.late_rows_read_at = tally.now
        # If reading the workspaces fails, the next run must not look for these late rows again.
        last.save()


def _asked_usage(known: bool | None) -> bool | None:
    """Asks Coder whether it has the experiment `workspace-usage`. Returns `known` if it is away."""
    if not (settings.CODER_URL and settings.CODER_TOKEN):
        return None
    try:
        answer = ask("/api/v2/experiments", token=settings.CODER_TOKEN, max_bytes=MAX_BYTES)
        return answer.read(lambda found: USAGE_EXPERIMENT in [each.lower() for each in found])
    except CoderUnavailableError:
        return known
