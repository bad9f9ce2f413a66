"""Stores which versions of sites have been reported, with a limit for invented ones.

Anyone can put any version into the URL for reports, so

* a caller may report `MAX_NEW_VERSIONS` new versions in an hour. Further versions are not stored
  here.
* a site has up to `MAX_VERSIONS` versions. A new version replaces the version with the fewest
  clients in one group. If several have the same number, it replaces the one that was reported
  longest ago. So invented versions do not replace those of real visitors.

A report always has its version. But clients are counted by version (`csp.writing.batch`) only for a
version that is stored here.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Sequence
from datetime import date, datetime
from itertools import islice
from typing import Any, NamedTuple

import psycopg

from csp.scrubbing.versions import rank
from csp.writing.entries import Entry
from csp.writing.group_limit import count_new

MAX_VERSIONS = 200
MAX_NEW_VERSIONS = 10
MAX_KNOWN = 10_000
# The first byte of a name in the table of new groups, if the row counts versions.
_COUNTED = b"v"

_SENT = "unnest(%s::text[], %s::text[], %s::timestamptz[], %s::timestamptz[]"
_UPDATE = f"""
UPDATE csp_version AS known
SET first_seen = least(first_seen, first), last_seen = greatest(last_seen, last)
FROM {_SENT}) AS sent (site, name, first, last)
WHERE known.site = sent.site AND known.name = sent.name
RETURNING known.site, known.name
"""  # noqa: S608 - only constants
# Keeps the versions with the most clients in one group, so that `%s` more versions have room.
_EVICT = f"""
DELETE FROM csp_version WHERE id IN (
    SELECT id FROM csp_version WHERE site = %s
    ORDER BY (
        SELECT max(client_days) FROM csp_groupversion WHERE version_id = id
    ) DESC NULLS LAST, last_seen DESC, id DESC OFFSET greatest(0, {MAX_VERSIONS} - %s)
)
"""  # noqa: S608 - only constants
_INSERT = f"""
INSERT INTO csp_version (site, name, first_seen, last_seen, rank)
SELECT * FROM {_SENT}, %s::text[]) ORDER BY 1, 2 ON CONFLICT DO NOTHING
"""  # noqa: S608 - only constants


class Sighting(NamedTuple):
    """A version that a report contains. If `caller` is empty, the hourly limit does not apply."""

    site: str
    name: str
    at: datetime
    caller: bytes = b""

    @property
    def version(self) -> tuple[str, str]:
        return self.site, self.name

    @property
    def day(self) -> tuple[str, str, date]:
        return self.site, self.name, self.at.date()


def sighting_of(row: dict[str, Any], caller: bytes = b"") -> Sighting:
    """Returns the version of a row (see `Entry.row`). Its name may be ""."""
    return Sighting(row["group_site"], row["version"], row["received_at"], caller)


class Versions:
    """Stores the versions of a batch before the batch itself. Only one thread may use an instance.

    Caches which versions were stored on a day, so that later batches of the day need no query.
    """

    def __init__(self) -> None:
        self._known: set[tuple[str, str, date]] = set()

    def forget(self) -> None:
        self._known.clear()

    def store_of(self, connection: psycopg.Connection[Any], entries: Sequence[Entry]) -> None:
        self.store(connection, {sighting_of(entry.row, entry.caller) for entry in entries})

    def store(self, connection: psycopg.Connection[Any], sightings: Collection[Sighting]) -> None:
        """Stores new versions within the limits, and updates `last_seen` of known ones daily."""
        new = [each for each in sightings if each.name and each.day not in self._known]
        if not new:
            return
        stored = set(connection.execute(_UPDATE, _columns(new)).fetchall())
        allowed = _allowed(connection, [each for each in new if each.version not in stored])
        for site, number in Counter(site for site, _ in allowed).items():
            connection.execute(_EVICT, [site, number])
        if allowed:
            sites, names, *times = _columns([each for each in new if each.version in allowed])
            ranks = [rank(name, first) for name, first in zip(names, times[0], strict=True)]
            connection.execute(_INSERT, [sites, names, *times, ranks])
        if len(self._known) > MAX_KNOWN:
            self._known.clear()
        self._known.update(each.day for each in new if each.version in stored | allowed)


def _columns(sightings: Sequence[Sighting]) -> list[list[Any]]:
    """Returns the site, the name, and the first and the last time of each version."""
    times: dict[tuple[str, str], list[datetime]] = defaultdict(list)
    for each in sightings:
        times[each.version].append(each.at)
    sites, names = [site for site, _ in times], [name for _, name in times]
    return [
        sites,
        names,
        [min(some) for some in times.values()],
        [max(some) for some in times.values()],
    ]


def _allowed(connection: psycopg.Connection[Any], new: Sequence[Sighting]) -> set[tuple[str, str]]:
    """Counts the new versions of each caller. Returns the versions within the limit."""
    callers: dict[bytes, dict[tuple[str, str], None]] = defaultdict(dict)
    for each in new:
        callers[each.caller][each.version] = None
    allowed: set[tuple[str, str]] = set()
    for caller, versions in callers.items():
        room = len(versions)
        if caller:
            at = max(each.at for each in new)
            room = MAX_NEW_VERSIONS - count_new(connection, _COUNTED + caller, at, len(versions))
        allowed.update(islice(versions, max(0, room)))
    return allowed
