"""How many distinct pages, browsers, days and clients a day a group has reached."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import psycopg

from csp.batches import Judged, reach_members
from csp.statements import columns

# Up to here each member is a row, and the count is exact.
EXACT = 1_024
REMEMBERED = 100_000

type Member = tuple[uuid.UUID, int, int]

_INSERT = """
WITH added AS (
    INSERT INTO csp_reachmember (group_id, kind, member)
    SELECT * FROM unnest(%s::uuid[], %s::smallint[], %s::bigint[])
    ON CONFLICT DO NOTHING
    RETURNING group_id, kind),
sums AS (
    SELECT group_id,
        count(*) FILTER (WHERE kind = 1) AS pages,
        count(*) FILTER (WHERE kind = 2) AS browsers,
        count(*) FILTER (WHERE kind = 3) AS days,
        count(*) FILTER (WHERE kind = 4) AS client_days
    FROM added GROUP BY group_id)
UPDATE csp_group SET
    pages = csp_group.pages + sums.pages,
    browsers = csp_group.browsers + sums.browsers,
    days = csp_group.days + sums.days,
    client_days = csp_group.client_days + sums.client_days
FROM sums WHERE csp_group.id = sums.group_id
"""


class Reach:
    """Writes members that are new. What was written before is remembered, so that a flood asks nothing."""

    def __init__(self) -> None:
        self._written: set[Member] = set()

    def forget(self) -> None:
        self._written.clear()

    def remember(self, batch: Sequence[Judged]) -> None:
        if len(self._written) > REMEMBERED:
            self._written.clear()
        self._written.update(reach_members(batch))

    def write(
        self,
        cursor: psycopg.Cursor[Any],
        batch: Sequence[Judged],
        reached: Mapping[uuid.UUID, tuple[int, ...]],
    ) -> None:
        """Adds the batch's new members. `reached`: what each of its groups has, by kind in order."""
        new = [
            member
            for member in reach_members(batch)
            if member not in self._written and reached[member[0]][member[1] - 1] < EXACT
        ]
        if new:
            cursor.execute(_INSERT, columns(new))
