"""Counts the reach of a group: its distinct pages, and its distinct clients per day.

Each distinct page or client is a member, and is stored as a keyed hash. Up to `EXACT` members, all
are stored, and the number is exact. A group with a larger number N is sampled. Only the smallest
EXACT / N of all possible hashes are stored, and each new hash counts as N / EXACT members. The
error of the estimate is about 3 %. Several processes may count members of a group at the same time,
because each process only adds to the stored number.

A client is stored once for each version of the site. The clients with a version are sampled in the
same way as all clients of the group. So the number for a version is exact if the group has up to
`EXACT`.

This module does not use a library, because the libraries for such sketches have no wheels for some
Python versions, or have few users.
"""

from __future__ import annotations

from csp.models import ReachMember

EXACT = 1_024
# Returns whether the hash is too large to be stored in a group with this number.
IS_LARGE = f"member >= {EXACT} / reached::float * 2::float ^ 64 - 2::float ^ 63"
PAGE, CLIENT_DAY = (f"{kind}::smallint" for kind in ReachMember.Kind)
# Deletes the members that were stored before the number of their group was so large.
DELETE_LARGE = f"""
DELETE FROM csp_reachmember AS stored USING csp_group, LATERAL (VALUES
    ({PAGE}, pages), ({CLIENT_DAY}, client_days)
) AS each (kind, reached)
WHERE group_id = id AND stored.kind = each.kind AND reached > {EXACT} AND {IS_LARGE}
"""  # noqa: S608 - only constants
# Deletes the counts of versions that are no longer stored.
DELETE_FORGOTTEN = """
DELETE FROM csp_groupversion AS stored
WHERE NOT EXISTS (SELECT FROM csp_version WHERE id = stored.version_id);
DELETE FROM csp_reachmember AS stored
WHERE version_id > 0 AND NOT EXISTS (SELECT FROM csp_version WHERE id = stored.version_id)
"""


def humanized(reached: int, *, exact: int = EXACT) -> str:
    """Formats the number of distinct members. A number above `exact` is an estimate."""
    return f"about {reached:,}" if reached > exact else f"{reached:,}"
