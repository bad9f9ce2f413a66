"""Limits the groups that reports can open, so that invented reports cannot fill the database.

A group is kept until its newest report is older than the retention. So in an hour,

* each caller may open `Limits.caller` groups. A caller is a user, a client, or an ingest key
  together with a client, because every visitor of a page can read its key. An IPv6 /48 network may
  open four times as many, as for requests.
* all callers together may open `Limits.all` groups.
* `Limits.all` further groups are open to causes that clients of `SEVERAL` networks have reported.
  With n networks, a cause gets a group while fewer than n / (n + SEVERAL) of these groups are open.
  So invented causes of some networks cannot hide a cause that clients of more networks report.

Reports above these limits are stored in the group "other" of their directive.

The table `csp_limituse` has these counts, and which networks have reported a cause without a
group. So all processes share them. Each hour starts at zero.
"""

from __future__ import annotations

import hashlib
import uuid
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import islice
from typing import Any

import psycopg

from csp.models import whole_hour
from csp.writing.entries import Caller, Entry, other_group

# Causes that clients of this number of networks have reported may open the further groups.
SEVERAL = 3
MAX_KNOWN = 100_000
# The names of the rows that count for all callers. The row of a caller has a hash instead.
ALL, OF_SEVERAL, NOTED = b"all", b"several", b"noted"

_EXISTING = "SELECT id::text FROM csp_group WHERE id = ANY(%s::uuid[])"
# Runs in autocommit mode. The count includes rejected groups, so it may exceed the limit.
_COUNT = """
INSERT INTO csp_limituse AS known (subject, hour, used)
SELECT name, date_trunc('hour', %s::timestamptz, 'UTC'), number
FROM unnest(%s::bytea[], %s::bigint[]) AS sent (name, number) ORDER BY name
ON CONFLICT (subject, hour) DO UPDATE SET used = known.used + excluded.used
RETURNING subject, used
"""
# Counts the networks of each cause. A network counts once.
_NOTE = """
WITH sent AS (
    SELECT date_trunc('hour', %s::timestamptz, 'UTC') AS hour, *
    FROM unnest(%s::bytea[], %s::bytea[]) AS pairs (pair, cause)
), noted AS (
    INSERT INTO csp_limituse (subject, hour, used) SELECT pair, hour, 1 FROM sent ORDER BY pair
    ON CONFLICT DO NOTHING RETURNING subject
)
INSERT INTO csp_limituse AS known (subject, hour, used)
SELECT cause, hour, count(subject) FROM sent LEFT JOIN noted ON subject = pair
GROUP BY 1, 2 ORDER BY 1
ON CONFLICT (subject, hour) DO UPDATE SET used = known.used + excluded.used
RETURNING subject, used
"""

type Connection = psycopg.Connection[Any]
# The id of a group, and the hash of a network that has reported its cause.
type Pair = tuple[str, bytes]


@dataclass(frozen=True, slots=True)
class Limits:
    """The numbers of an hour.

    A network can be noted for `noted` causes without a group, and all networks together for
    `noted_in_all`, so that the notes cannot fill the database.
    """

    caller: int = 500
    all: int = 5_000
    noted: int = 250
    noted_in_all: int = 50_000


class GroupLimit:
    """Applies the limits of new groups. Only one thread may use an instance.

    Caches the ids of existing groups and the notes of this process, so that a query is needed only
    for others.
    """

    def __init__(self, limits: Limits | None = None) -> None:
        self._limits = limits or Limits()
        self._known: set[str] = set()
        self._noted: set[tuple[Pair, datetime]] = set()

    def forget(self) -> None:
        self._known.clear()
        self._noted.clear()

    def remember(self, entries: Sequence[Entry]) -> None:
        """Adds the groups of a committed batch to the cache."""
        if len(self._known) > MAX_KNOWN:
            self._known.clear()
        self._known.update(entry.row["group_id"] for entry in entries)

    def apply(self, connection: Connection, entries: Sequence[Entry]) -> Sequence[Entry]:
        """Returns the entries. Moves the entries of rejected groups to the group "other"."""
        # Imports do not have a caller or a limit, because an operator runs them.
        wanted = {e.row["group_id"] for e in entries if e.caller} - self._known
        if not wanted:
            return entries
        self._known.update(row[0] for row in connection.execute(_EXISTING, [list(wanted)]))
        new = [e for e in entries if e.caller and e.row["group_id"] in wanted - self._known]
        refused = {e.row["group_id"] for e in new} - self._opened(connection, new)
        return [
            replace(e, row=e.row | other_group(e.row["group_site"], e.row["group_directive"]))
            if e.row["group_id"] in refused
            else e
            for e in entries
        ]

    def _opened(self, connection: Connection, new: Sequence[Entry]) -> set[str]:
        """Counts the new groups, for each caller and in all. Returns the groups to create."""
        if not new:
            return set()
        at = max(entry.row["received_at"] for entry in new)
        sent = [(entry.caller, entry.row["group_id"]) for entry in new if entry.caller]
        wanted = within_callers(connection, at, sent, self._limits.caller)
        opened = set(_within(connection, at, wanted, ALL, self._limits.all))
        refused = {(group, caller.network): None for caller, group in sent if group not in opened}
        if refused:
            networks = self._note(connection, at, refused)
            opened |= self._of_several(connection, at, networks)
        return opened

    def _note(
        self, connection: Connection, at: datetime, refused: Collection[Pair]
    ) -> dict[str, int]:
        """Notes which networks have reported a cause without a group.

        Returns the number of networks of each cause. Skips notes that this process has cached.
        """
        hour = whole_hour(at)
        new = [pair for pair in refused if (pair, hour) not in self._noted]
        if len(self._noted) > MAX_KNOWN:
            self._noted.clear()
        self._noted.update((pair, hour) for pair in new)
        pairs = self._within_notes(connection, at, new) if new else []
        if not pairs:
            return {}
        causes = {b"g" + uuid.UUID(group).bytes: group for group, _ in pairs}
        names = {_name_of(pair): b"g" + uuid.UUID(pair[0]).bytes for pair in pairs}
        noted = connection.execute(_NOTE, [at, list(names), list(names.values())])
        return {causes[name]: number for name, number in noted}

    def _within_notes(
        self, connection: Connection, at: datetime, pairs: Sequence[Pair]
    ) -> list[Pair]:
        """Counts the pairs, for each network and in all. Returns those within the limits."""
        used = count_new(connection, at, Counter(b"n" + network for _, network in pairs))
        found = []
        for group, network in pairs:
            used[b"n" + network] += 1
            if used[b"n" + network] <= self._limits.noted:
                found.append((group, network))
        return _within(connection, at, found, NOTED, self._limits.noted_in_all)

    def _of_several(
        self, connection: Connection, at: datetime, networks: Mapping[str, int]
    ) -> set[str]:
        """Returns the groups that clients of several networks have reported, within their limit."""
        most = sorted(networks, key=networks.__getitem__, reverse=True)
        causes = [group for group in most if networks[group] >= SEVERAL]
        if not causes:
            return set()
        used = count_new(connection, at, {OF_SEVERAL: 0})[OF_SEVERAL]
        shares = (networks[group] / (networks[group] + SEVERAL) for group in causes)
        opened = {
            group
            for place, (group, share) in enumerate(zip(causes, shares, strict=True), used)
            if place < share * self._limits.all
        }
        count_new(connection, at, {OF_SEVERAL: len(opened)})
        return opened


def count_new(
    connection: Connection, at: datetime, numbers: Mapping[bytes, int]
) -> dict[bytes, int]:
    """Adds the numbers to the counts of the hour with these names. Returns the counts before."""
    rows = connection.execute(_COUNT, [at, list(numbers), list(numbers.values())]).fetchall()
    return {name: count - numbers[name] for name, count in rows}


def within_callers[T](
    connection: Connection,
    at: datetime,
    sent: Iterable[tuple[Caller, T]],
    limit: int,
    kind: bytes = b"",
) -> list[T]:
    """Counts the different items of each caller. Returns the items within the limits.

    The limit of a caller is its share of `limit`. The names of the counts begin with `kind`.
    """
    callers: dict[tuple[bytes, int], dict[T, None]] = defaultdict(dict)
    for caller, item in sent:
        callers[kind + caller.name, caller.share][item] = None
    used = count_new(connection, at, {name: len(own) for (name, _), own in callers.items()})
    allowed: dict[T, None] = {}
    for (name, share), own in callers.items():
        allowed |= dict.fromkeys(islice(own, max(0, share * limit - used[name])))
    return list(allowed)


def _within[T](
    connection: Connection, at: datetime, items: list[T], name: bytes, limit: int
) -> list[T]:
    """Counts the items under the name, for all callers. Returns those within the limit."""
    before = count_new(connection, at, {name: len(items)})[name] if items else 0
    return items[: max(0, limit - before)]


def _name_of(pair: Pair) -> bytes:
    group, network = pair
    return b"p" + hashlib.blake2b(group.encode(), digest_size=16, key=network).digest()
