"""How many distinct pages, browsers, days and clients a day a group has reached.

Each distinct member is a row with its keyed hash, up to a bound; so far the number is exact. From
there on only the smallest hashes are kept, and the number is estimated from how densely they lie (a
bottom-k sketch, off by about 3 %). The sketch of two groups together is
the smallest hashes of both.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import psycopg

from csp.batches import Judged, reach_members
from csp.statements import columns

EXACT = 1_024
REMEMBERED = 100_000
HASHES = 2**64

type Pair = tuple[uuid.UUID, int]
type Member = tuple[uuid.UUID, int, int]

_INSERT = """
INSERT INTO csp_reachmember (group_id, kind, member)
SELECT * FROM unnest(%s::uuid[], %s::smallint[], %s::bigint[])
ON CONFLICT DO NOTHING
RETURNING group_id, kind
"""

_RAISE = """
UPDATE csp_group SET
    pages = greatest(pages, CASE kind WHEN 1 THEN reached ELSE 0 END),
    browsers = greatest(browsers, CASE kind WHEN 2 THEN reached ELSE 0 END),
    days = greatest(days, CASE kind WHEN 3 THEN reached ELSE 0 END),
    client_days = greatest(client_days, CASE kind WHEN 4 THEN reached ELSE 0 END)
FROM (SELECT %s::uuid AS group_id, %s AS kind, %s AS reached) AS found
WHERE csp_group.id = found.group_id
"""

_LARGEST_KEPT = """
SELECT member FROM csp_reachmember WHERE group_id = %s AND kind = %s
ORDER BY member OFFSET %s LIMIT 1
"""

_TRIM = "DELETE FROM csp_reachmember WHERE group_id = %s AND kind = %s AND member > %s"


def shown(reached: int) -> str:
    """The number for people: what is estimated says so."""
    return f"about {reached:,}" if reached > EXACT else f"{reached:,}"


def estimate(largest_kept: int) -> int:
    """How many distinct members there are, by the largest of the `EXACT` smallest hashes."""
    share = (largest_kept + HASHES // 2 + 1) / HASHES
    return round((EXACT - 1) / share)


class Reach:
    """Writes members that are new. Those written are remembered, so that a flood asks nothing."""

    def __init__(self) -> None:
        self._written: set[Member] = set()
        # The largest hash that still counts. It only falls: an old one at worst lets too many in.
        self._largest: dict[Pair, int] = {}

    def forget(self) -> None:
        self._written.clear()
        self._largest.clear()

    def remember(self, batch: Sequence[Judged]) -> None:
        """Called once the batch is committed."""
        if len(self._written) > REMEMBERED:
            self.forget()
        self._written.update(reach_members(batch))

    def write(
        self,
        cursor: psycopg.Cursor[Any],
        batch: Sequence[Judged],
        reached: Mapping[uuid.UUID, Sequence[int]],
    ) -> None:
        """Adds the batch's new members. `reached`: what each group has, by kind in order."""
        new = [member for member in reach_members(batch) if self._may_count(member)]
        if not new:
            return
        cursor.execute(_INSERT, columns(new))
        added: dict[Pair, int] = {}
        for group, kind in cursor.fetchall():
            added[group, kind] = added.get((group, kind), 0) + 1
        for (group, kind), count in added.items():
            total = reached[group][kind - 1] + count
            if total > EXACT:
                total = self._trim(cursor, (group, kind))
            cursor.execute(_RAISE, [group, kind, total])

    def _may_count(self, member: Member) -> bool:
        if member in self._written:
            return False
        largest = self._largest.get(member[:2])
        return largest is None or member[2] < largest

    def _trim(self, cursor: psycopg.Cursor[Any], pair: Pair) -> int:
        """The estimate for a group's members of a kind, once only the smallest are left."""
        cursor.execute(_LARGEST_KEPT, [*pair, EXACT - 1])
        found = cursor.fetchone()
        if found is None:
            # Members may have been lost with a restored backup: the count stays what it was.
            return 0
        self._largest[pair] = found[0]
        cursor.execute(_TRIM, [*pair, found[0]])
        return estimate(found[0])
