"""Limits how many groups a caller can open, so that invented reports cannot fill the database.

A group is kept until its newest report is older than the retention. So each caller (an ingest key,
a user or an IP address) may open at most `MAX_NEW_GROUPS` groups in an hour. Reports above this
limit are stored in the group "other" of their directive.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from itertools import islice
from typing import Any

import psycopg

from csp.writing.entries import Entry
from csp.writing.grouping import other_group

MAX_NEW_GROUPS = 500
MAX_KNOWN = 100_000

_EXISTING = "SELECT id::text FROM csp_group WHERE id = ANY(%s::uuid[])"
# The count includes rejected groups, so it may exceed the limit.
_COUNT = """
INSERT INTO csp_newgroups AS known (caller, hour, count)
VALUES (%s, date_trunc('hour', %s::timestamptz, 'UTC'), %s)
ON CONFLICT (caller, hour) DO UPDATE SET count = known.count + excluded.count
RETURNING count
"""


class GroupLimit:
    """Applies the limit of new groups. Only one thread may use an instance.

    Caches the ids of existing groups, so that a query is needed only for other groups.
    """

    def __init__(self) -> None:
        self._known: set[str] = set()

    def forget(self) -> None:
        self._known.clear()

    def remember(self, entries: Sequence[Entry]) -> None:
        """Adds the groups of a committed batch to the cache."""
        if len(self._known) > MAX_KNOWN:
            self.forget()
        self._known.update(entry.row["group_id"] for entry in entries)

    def apply(
        self, connection: psycopg.Connection[Any], entries: Sequence[Entry]
    ) -> Sequence[Entry]:
        """Returns the entries. Moves the entries of rejected groups to the group "other"."""
        # Imports do not have a caller or a limit, because an operator runs them.
        wanted = {e.row["group_id"] for e in entries if e.caller} - self._known
        if not wanted:
            return entries
        self._known.update(row[0] for row in connection.execute(_EXISTING, [list(wanted)]))
        new = [e for e in entries if e.caller and e.row["group_id"] in wanted - self._known]
        refused = _refused(connection, new)
        return [_moved(e) if e.row["group_id"] in refused else e for e in entries]


def _refused(connection: psycopg.Connection[Any], new: Sequence[Entry]) -> set[str]:
    """Counts the new groups of each caller. Returns the groups that no caller may open."""
    groups: dict[bytes, dict[str, datetime]] = defaultdict(dict)
    for entry in new:
        groups[entry.caller][entry.row["group_id"]] = entry.row["received_at"]
    opened: set[str] = set()
    # Update the rows in sorted order, so that two processes cannot deadlock.
    for caller, wanted in sorted(groups.items()):
        values = [caller, max(wanted.values()), len(wanted)]
        row = connection.execute(_COUNT, values).fetchone()
        before = row[0] - len(wanted) if row else 0
        opened.update(islice(wanted, max(0, MAX_NEW_GROUPS - before)))
    return {entry.row["group_id"] for entry in new} - opened


def _moved(entry: Entry) -> Entry:
    other = other_group(entry.row["group_directive"])
    return replace(entry, rule=None, row={**entry.row, **other})
