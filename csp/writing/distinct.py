"""Counts the distinct pages of a group, and its distinct clients of each day.

Each of them is stored as a keyed hash. Up to `EXACT` hashes, all are stored, and the number is
exact. A group with a larger number N is sampled. Only the smallest EXACT / N of all possible hashes
are stored, and each new hash counts as N / EXACT. The error of the estimate is about 3 %. Several
processes may count for a group at the same time, because each process only adds to the stored
number.

A client is stored once for each version of the site. The clients with a version are sampled in the
same way as all clients of the group. So the number for a version is exact if the group has up to
`EXACT`.

This module does not use a library, because the libraries for such sketches have no wheels for some
Python versions, or have few users.
"""

from __future__ import annotations

from csp.models import DistinctHash

EXACT = 1_024
# Returns whether the hash is too large to be stored in a group with this number.
IS_LARGE = f"hash >= {EXACT} / number::float * 2::float ^ 64 - 2::float ^ 63"
PAGE, CLIENT_DAY = (f"{kind}::smallint" for kind in DistinctHash.Kind)
# Deletes the hashes that were stored before the number of their group was so large.
DELETE_LARGE = f"""
DELETE FROM csp_distincthash AS stored USING csp_group, LATERAL (VALUES
    ({PAGE}, pages), ({CLIENT_DAY}, client_days)
) AS each (kind, number)
WHERE group_id = id AND stored.kind = each.kind AND number > {EXACT} AND {IS_LARGE}
"""  # noqa: S608 - only constants
# Deletes the counts of versions that are no longer stored.
DELETE_FORGOTTEN = """
DELETE FROM csp_groupversion AS stored
WHERE NOT EXISTS (SELECT FROM csp_version WHERE id = stored.version_id);
DELETE FROM csp_distincthash AS stored
WHERE version_id > 0 AND NOT EXISTS (SELECT FROM csp_version WHERE id = stored.version_id)
"""


def humanized(number: int, *, exact: int = EXACT) -> str:
    """Formats the number of distinct pages or clients. A number above `exact` is an estimate."""
    return f"about {number:,}" if number > exact else f"{number:,}"
