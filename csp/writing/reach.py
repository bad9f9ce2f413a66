"""Counts the reach of a group: its distinct pages, browsers, days, and clients per day.

Each distinct page, browser, day or client is a member, and each member is stored as a keyed hash.
Up to `EXACT` members, the number is exact. Above that, only the smallest hashes are kept, and the
number is estimated from their density. This is a bottom-k sketch with an error of about 3 %. Two
sketches are merged by union, so two processes that write the same group need no lock.

This module does not use a library, because the libraries for such sketches have no wheels for some
Python versions, or have few users.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import psycopg
from psycopg import sql

from csp.writing.entries import Entry, Member

# The SQL function csp_write_batch contains the same number. Always change both.
EXACT = 1_024
MAX_KNOWN = 100_000
HASHES = 2**64

# The id of a group, and the kind of its members: page, browser, day or client.
type Pair = tuple[str, int]

# The column of each kind. Kinds start at 1, so the first item is not used.
_COLUMNS = ("", "pages", "browsers", "days", "client_days")

_RAISE = "UPDATE csp_group SET {0} = greatest({0}, %s) WHERE id = %s"

_LARGEST_KEPT = """
SELECT member FROM csp_reachmember WHERE group_id = %s AND kind = %s
ORDER BY member OFFSET %s LIMIT 1
"""

_TRIM = "DELETE FROM csp_reachmember WHERE group_id = %s AND kind = %s AND member > %s"


def humanized(reached: int) -> str:
    """Formats the number of distinct members. An estimate begins with "about"."""
    return f"about {reached:,}" if reached > EXACT else f"{reached:,}"


def estimate(largest_kept: int) -> int:
    """Estimates the number of distinct members from the largest of the `EXACT` smallest hashes."""
    share = (largest_kept + HASHES // 2 + 1) / HASHES
    return round((EXACT - 1) / share)


class Reach:
    """Caches which members are stored, and trims the sketches of groups.

    Because of the cache, a flood of similar reports causes no queries. Reports that are noise are
    counted too, so that the reach of their groups is correct after the noise rule is disabled.
    """

    def __init__(self) -> None:
        self._written: set[Member] = set()
        # The largest hash in the sketch of each pair. This hash only decreases. So if the cached
        # hash is outdated, no member is lost, but some rows are stored that are deleted later.
        self._largest: dict[Pair, int] = {}

    def forget(self) -> None:
        self._written.clear()
        self._largest.clear()

    def new_members(self, entries: Sequence[Entry]) -> list[Member]:
        """Returns the distinct members of the batch that may not be stored yet, sorted."""
        found = {member for entry in entries for member in entry.reach} - self._written
        return sorted(filter(self._may_count, found))

    def remember(self, entries: Sequence[Entry]) -> None:
        """Adds the members of a committed batch to the cache."""
        if len(self._written) > MAX_KNOWN:
            self.forget()
        self._written.update(member for entry in entries for member in entry.reach)

    def trim(self, connection: psycopg.Connection[Any], pairs: Sequence[Pair]) -> None:
        """Deletes all members of each pair except the smallest hashes, and stores the estimate.

        If this fails, it is repeated when the group gets its next new member.
        """
        for group, kind in pairs:
            with connection.transaction():
                self._trim(connection, (group, kind))

    def _may_count(self, member: Member) -> bool:
        largest = self._largest.get(member[:2])
        return largest is None or member[2] < largest

    def _trim(self, connection: psycopg.Connection[Any], pair: Pair) -> None:
        found = connection.execute(_LARGEST_KEPT, [*pair, EXACT - 1]).fetchone()
        # After a restore from a backup, members may be missing. In that case, keep the stored
        # number.
        if found is None:
            return
        self._largest[pair] = found[0]
        # Update the group first, in the same order as a batch, to avoid a deadlock.
        column = sql.Identifier(_COLUMNS[pair[1]])
        statement = sql.SQL(_RAISE).format(column)
        connection.execute(statement, [estimate(found[0]), pair[0]])
        connection.execute(_TRIM, [*pair, found[0]])
