"""Counts the reach of a group: its distinct pages, and its distinct clients per day.

Each distinct page or client is a member, and each member is stored as a keyed hash. Up to `EXACT`
members, the number is exact. Above that, only the smallest hashes are kept, and the number is
estimated from their density. This is a bottom-k sketch with an error of about 3 %. Two sketches are
merged by union, so two processes that write the same group need no lock.

This module does not use a library, because the libraries for such sketches have no wheels for some
Python versions, or have few users.
"""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg import sql

from csp.models import ReachMember

EXACT = 1_024
HASHES = 2**64
Kind = ReachMember.Kind
_COLUMNS = {Kind.PAGE: "pages", Kind.CLIENT_DAY: "client_days"}

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


def trim(connection: psycopg.Connection[Any], group: str, kind: int) -> None:
    """Deletes all members of the group except the smallest hashes, and stores the estimate.

    If this fails, it is repeated when the group gets its next new member.
    """
    with connection.transaction():
        found = connection.execute(_LARGEST_KEPT, [group, kind, EXACT - 1]).fetchone()
        # After a restore from a backup, members may be missing. In that case, keep the stored
        # number.
        if found is None:
            return
        # Update the group after its members, in the same order as a batch, to avoid a deadlock.
        connection.execute(_TRIM, [group, kind, found[0]])
        statement = sql.SQL(_RAISE).format(sql.Identifier(_COLUMNS[Kind(kind)]))
        connection.execute(statement, [estimate(found[0]), group])
