"""Counts the distinct pages, browsers, days, and clients per day of a group.

Each distinct member is a row with its keyed hash. Up to `EXACT` members the number is exact. Beyond
that, only the smallest hashes are kept, and the number is estimated from their density (a bottom-k
sketch with an error of about 3 %). Sketches merge by union, so two processes that write the same
group need no lock. The libraries for this lack wheels for some Python versions, or have few users.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import psycopg
from psycopg import sql

from csp.writing.entries import Entry, Member

# csp_write_batch has the same number. Change both.
EXACT = 1_024
MAX_KNOWN = 100_000
HASHES = 2**64

# The id of a group, and a kind of members.
type Pair = tuple[str, int]

# By kind, which starts at 1.
_COLUMNS = ("", "pages", "browsers", "days", "client_days")

_RAISE = "UPDATE csp_group SET {0} = greatest({0}, %s) WHERE id = %s"

_LARGEST_KEPT = """
SELECT member FROM csp_reachmember WHERE group_id = %s AND kind = %s
ORDER BY member OFFSET %s LIMIT 1
"""

_TRIM = "DELETE FROM csp_reachmember WHERE group_id = %s AND kind = %s AND member > %s"


def humanized(reached: int) -> str:
    """Returns the number as text. An estimate is marked with "about"."""
    return f"about {reached:,}" if reached > EXACT else f"{reached:,}"


def estimate(largest_kept: int) -> int:
    """Estimates the number of distinct members from the largest of the `EXACT` smallest hashes."""
    share = (largest_kept + HASHES // 2 + 1) / HASHES
    return round((EXACT - 1) / share)


class Reach:
    """Caches which members are written, so that a flood costs no queries, and trims sketches.

    Noise counts too, so that its groups have their reach when the rule is disabled.
    """

    def __init__(self) -> None:
        self._written: set[Member] = set()
        # The largest hash that still counts. It only decreases, so an old value only adds rows.
        self._largest: dict[Pair, int] = {}

    def forget(self) -> None:
        self._written.clear()
        self._largest.clear()

    def new_members(self, entries: Sequence[Entry]) -> list[Member]:
        """Returns the distinct members of the batch that may be new, in order."""
        found = {member for entry in entries for member in entry.reach} - self._written
        return sorted(filter(self._may_count, found))

    def remember(self, entries: Sequence[Entry]) -> None:
        """Caches the members of a committed batch."""
        if len(self._written) > MAX_KNOWN:
            self.forget()
        self._written.update(member for entry in entries for member in entry.reach)

    def trim(self, connection: psycopg.Connection[Any], pairs: Sequence[Pair]) -> None:
        """Deletes all but the smallest members of each pair, and stores the estimate.

        If this fails, the next new member of the group triggers it again.
        """
        for group, kind in pairs:
            with connection.transaction():
                self._trim(connection, (group, kind))

    def _may_count(self, member: Member) -> bool:
        largest = self._largest.get(member[:2])
        return largest is None or member[2] < largest

    def _trim(self, connection: psycopg.Connection[Any], pair: Pair) -> None:
        found = connection.execute(_LARGEST_KEPT, [*pair, EXACT - 1]).fetchone()
        # Members may be missing after a restore from a backup. Then the number stays unchanged.
        if found is None:
            return
        self._largest[pair] = found[0]
        # Lock the group first, as batches do, to avoid a deadlock.
        column = sql.Identifier(_COLUMNS[pair[1]])
        statement = sql.SQL(_RAISE).format(column)
        connection.execute(statement, [estimate(found[0]), pair[0]])
        connection.execute(_TRIM, [*pair, found[0]])
