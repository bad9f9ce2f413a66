"""Counts the distinct pages, browsers, days and clients a day that a group has reached.

Each distinct member is a row with its keyed hash, up to a bound; so far the number is exact. From
there on only the smallest hashes are kept, and the number is estimated from how densely they lie (a
bottom-k sketch, off by about 3 %). Sketches merge by a union, so two processes that write the same
group need no lock. The libraries that were looked at have no wheels for every Python, or few users.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import psycopg
from psycopg import sql

from csp.writing.entries import Entry, Member

# csp_write_batch counts up to the same number: it is not to be changed here alone.
EXACT = 1_024
REMEMBERED = 100_000
HASHES = 2**64

# A group's id, and a kind of members.
type Pair = tuple[str, int]

# By kind, which begins at 1.
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
    """Estimates the number of distinct members by the largest of the `EXACT` smallest hashes."""
    share = (largest_kept + HASHES // 2 + 1) / HASHES
    return round((EXACT - 1) / share)


class Reach:
    """Knows the members that are written, so that a flood asks nothing, and keeps sketches small.

    Noise counts here too: a rule that is switched off brings its groups back with their reach.
    """

    def __init__(self) -> None:
        self._written: set[Member] = set()
        # The largest hash that still counts. It only falls: an old one at worst lets too many in.
        self._largest: dict[Pair, int] = {}

    def forget(self) -> None:
        self._written.clear()
        self._largest.clear()

    def new_members(self, entries: Sequence[Entry]) -> list[Member]:
        """Returns the batch's distinct members that may not have been written yet, in order."""
        found = {member for entry in entries for member in entry.reach} - self._written
        return sorted(filter(self._may_count, found))

    def remember(self, entries: Sequence[Entry]) -> None:
        """Remembers the members of a batch that is committed."""
        if len(self._written) > REMEMBERED:
            self.forget()
        self._written.update(member for entry in entries for member in entry.reach)

    def trim(self, connection: psycopg.Connection[Any], pairs: Sequence[Pair]) -> None:
        """Keeps the smallest members of each pair, and sets the group's reach to their estimate.

        If this fails, the group's next new member leads here again.
        """
        for group, kind in pairs:
            with connection.transaction():
                self._trim(connection, (group, kind))

    def _may_count(self, member: Member) -> bool:
        largest = self._largest.get(member[:2])
        return largest is None or member[2] < largest

    def _trim(self, connection: psycopg.Connection[Any], pair: Pair) -> None:
        found = connection.execute(_LARGEST_KEPT, [*pair, EXACT - 1]).fetchone()
        # Members may have been lost with a restored backup: the count then stays what it was.
        if found is None:
            return
        self._largest[pair] = found[0]
        # The group first, as batches do: else they and this would wait for each other.
        column = sql.Identifier(_COLUMNS[pair[1]])
        raised = sql.SQL(_RAISE).format(column)
        connection.execute(raised, [estimate(found[0]), pair[0]])
        connection.execute(_TRIM, [*pair, found[0]])
