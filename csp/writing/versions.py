"""Stores which versions of sites have been reported, with a limit for invented ones.

Anyone can put any version into the URL for reports, so

* a caller may report `MAX_NEW_VERSIONS` new versions on a day. An IPv6 /48 network may report four
  times as many.
* a site has up to `MAX_VERSIONS` versions, and up to half of them are new in the last day.
* a new version replaces an older version, never one of the last day. It replaces the one with the
  fewest clients in one group. If several have the same number, it replaces the one that was
  reported longest ago.

So invented versions cannot replace a version before its visitors have had a day to report it, and
later only a version with fewer clients. Further versions are not stored here.

A report always has its version. But clients are counted by version (`csp.writing.batch`) only for a
version that is stored here.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import date, datetime
from operator import itemgetter
from typing import Any, NamedTuple

import psycopg

from csp.models import midnight
from csp.scrubbing.versions import rank
from csp.writing.entries import Caller, Entry
from csp.writing.group_limit import within_callers

MAX_VERSIONS = 200
MAX_NEW_VERSIONS = 20
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
# Stores the versions of a site for which there is room. Returns their names.
_INSERT = f"""
INSERT INTO csp_version (site, name, first_seen, last_seen, rank)
SELECT * FROM {_SENT}, %s::text[]) ORDER BY 1, 2 LIMIT greatest(0, %s - (
    SELECT count(*) FROM csp_version WHERE site = %s AND first_seen > now() - interval '1 day'
)) ON CONFLICT DO NOTHING RETURNING site, name
"""  # noqa: S608 - only constants
# Deletes versions of a site above the limit. It keeps those of the last day, and then those with
# the most clients in one group.
_EVICT = """
DELETE FROM csp_version WHERE id IN (
    SELECT id FROM csp_version WHERE site = %s
    ORDER BY first_seen > now() - interval '1 day' DESC, (
        SELECT max(client_days) FROM csp_groupversion WHERE version_id = id
    ) DESC NULLS LAST, last_seen DESC, id DESC OFFSET %s
)
"""
_SEEN = itemgetter("group_site", "version_name", "received_at")


class Sighting(NamedTuple):
    """A version that a report contains. `caller` is None for an import, which has no limit."""

    site: str
    name: str
    at: datetime
    caller: Caller | None = None

    @property
    def version(self) -> tuple[str, str]:
        return self.site, self.name

    @property
    def day(self) -> tuple[str, str, date]:
        return self.site, self.name, self.at.date()


class Versions:
    """Stores the versions of a batch before the batch itself. Only one thread may use an instance.

    Caches which versions were stored on a day, so that later batches of the day need no query.
    """

    def __init__(self, *, limit: int = MAX_VERSIONS) -> None:
        self._limit = limit
        self._known: set[tuple[str, str, date]] = set()

    def forget(self) -> None:
        self._known.clear()

    def store(self, connection: psycopg.Connection[Any], entries: Sequence[Entry]) -> None:
        """Stores new versions within the limits, and updates `last_seen` of known ones daily."""
        new: set[Sighting] = set()
        for entry in entries:
            site, name, at = _SEEN(entry.row)
            if name and (site, name, at.date()) not in self._known:
                new.add(Sighting(site, name, at, entry.caller))
        if not new:
            return
        stored = set(connection.execute(_UPDATE, _columns(new)).fetchall())
        allowed = _allowed(connection, [each for each in new if each.version not in stored])
        for site in dict.fromkeys(site for site, _ in allowed):
            own = [each for each in new if each.version in allowed and each.site == site]
            stored |= self._insert(connection, site, own)
        if len(self._known) > MAX_KNOWN:
            self._known.clear()
        self._known.update(each.day for each in new if each.version in stored)

    def _insert(
        self, connection: psycopg.Connection[Any], site: str, new: Sequence[Sighting]
    ) -> set[tuple[str, str]]:
        """Stores new versions of a site within the limits. Returns those that were stored."""
        sites, names, *times = _columns(new)
        ranks = [rank(name, first) for name, first in zip(names, times[0], strict=True)]
        limit = self._limit // 2 if new[0].caller else self._limit
        values = [sites, names, *times, ranks, limit, site]
        stored = set(connection.execute(_INSERT, values).fetchall())
        connection.execute(_EVICT, [site, self._limit])
        return stored


def _columns(sightings: Iterable[Sighting]) -> list[list[Any]]:
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
    allowed = {each.version for each in new if not each.caller}
    if sent := [(each.caller, each.version) for each in new if each.caller]:
        day = midnight(max(each.at for each in new))
        allowed.update(within_callers(connection, day, sent, MAX_NEW_VERSIONS, _COUNTED))
    return allowed
