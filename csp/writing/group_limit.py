"""Limits how many groups reports can open, so that invented reports cannot fill the database.

A group is kept until its newest report is older than the retention. So in an hour,

* each caller may open `MAX_NEW_GROUPS` groups. A caller is a user, an IP address, or an ingest key
  together with an IP address, because every visitor of a page can read its key.
* all callers together may open `MAX_NEW_GROUPS_IN_ALL` groups.
* `MAX_NEW_GROUPS_IN_ALL` further groups are open to causes that `SEVERAL_CLIENTS` have reported. So
  neither one caller nor many invented causes can hide a cause that affects real visitors.

Reports above these limits are stored in the group "other" of their directive.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime
from itertools import islice
from typing import Any

import psycopg

from csp.writing.entries import Entry
from csp.writing.grouping import other_group

MAX_NEW_GROUPS = 500
MAX_NEW_GROUPS_IN_ALL = 5_000
SEVERAL_CLIENTS = 3
MAX_KNOWN = 100_000
MAX_REFUSED = 20_000
# The rows of the table that count for all callers. The row of a caller has a hash instead.
ALL, SEVERAL = b"all", b"several"

_EXISTING = "SELECT id::text FROM csp_group WHERE id = ANY(%s::uuid[])"
# Runs in autocommit mode. The count includes rejected groups, so it may exceed the limit.
_COUNT = """
INSERT INTO csp_newgroups AS known (caller, hour, count)
VALUES (%s, date_trunc('hour', %s::timestamptz, 'UTC'), %s)
ON CONFLICT (caller, hour) DO UPDATE SET count = known.count + excluded.count
RETURNING count
"""


class GroupLimit:
    """Applies the limit of new groups. Only one thread may use an instance.

    Caches the ids of existing groups, so that a query is needed only for other groups. Remembers
    which clients have reported a rejected group.
    """

    def __init__(self) -> None:
        self._known: set[str] = set()
        # Oldest first.
        self._refused: dict[str, set[int]] = {}

    def forget(self) -> None:
        self._known.clear()
        self._refused.clear()

    def remember(self, entries: Sequence[Entry]) -> None:
        """Adds the groups of a committed batch to the cache."""
        if len(self._known) > MAX_KNOWN:
            self._known.clear()
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
        refused = {e.row["group_id"] for e in new} - self._opened(connection, new)
        return [_moved(e) if e.row["group_id"] in refused else e for e in entries]

    def _opened(self, connection: psycopg.Connection[Any], new: Sequence[Entry]) -> set[str]:
        """Counts the new groups, for each caller and in all. Returns the groups to create."""
        if not new:
            return set()
        at = max(entry.row["received_at"] for entry in new)
        groups: dict[bytes, dict[str, set[int]]] = defaultdict(lambda: defaultdict(set))
        for entry in new:
            groups[entry.caller][entry.row["group_id"]].add(entry.row["client_day"])
        wanted: dict[str, None] = {}
        for caller, reported in groups.items():
            before = count_new(connection, caller, at, len(reported))
            wanted |= dict.fromkeys(islice(reported, max(0, MAX_NEW_GROUPS - before)))
            # A caller far above its limit cannot evict what others have reported.
            for key in islice(reported, max(0, 2 * MAX_NEW_GROUPS - before)):
                self._remember_refused(key, reported[key])
        opened = _within(connection, ALL, at, wanted)
        several = [
            key
            for key in dict.fromkeys(entry.row["group_id"] for entry in new)
            if key not in opened and len(self._refused.get(key, ())) >= SEVERAL_CLIENTS
        ]
        opened |= _within(connection, SEVERAL, at, several)
        for key in opened:
            self._refused.pop(key, None)
        return opened

    def _remember_refused(self, key: str, clients: set[int]) -> None:
        """Remembers up to SEVERAL_CLIENTS clients that reported a group that was not created."""
        known = self._refused.pop(key, set())
        if len(self._refused) >= MAX_REFUSED:
            del self._refused[next(iter(self._refused))]
        self._refused[key] = set(islice(known | clients, SEVERAL_CLIENTS))


def _within(
    connection: psycopg.Connection[Any], name: bytes, at: datetime, groups: Collection[str]
) -> set[str]:
    """Counts the groups under that name. Returns those within the limit of all callers."""
    if not groups:
        return set()
    before = count_new(connection, name, at, len(groups))
    return set(islice(groups, max(0, MAX_NEW_GROUPS_IN_ALL - before)))


def count_new(connection: psycopg.Connection[Any], name: bytes, at: datetime, number: int) -> int:
    """Adds the number to the count of the hour. Returns the count before."""
    row = connection.execute(_COUNT, [name, at, number]).fetchone()
    return row[0] - number if row else 0


def _moved(entry: Entry) -> Entry:
    other = other_group(entry.row["group_site"], entry.row["group_directive"])
    return replace(entry, rule=None, row={**entry.row, **other})
