"""Reads agent rows and workspaces from the database of a Coder deployment.

`connection` runs read-only queries. `follower` reads what is new since its last run, and `history`
reads everything that the database still has.

Rows are found by their keys first: `created_at` and `id` of an agent row, and the number of a
workspace's newest build. Then only rows that are not stored yet are read whole. This takes a third
of the time in Coder's database.
"""

from __future__ import annotations

from django.conf import settings

from beside.models import ReaderProgress
from stats.statistics import configured_usage


def counts_usage() -> bool:
    """Returns whether sessions are counted from usage rows: as in Coder if that is known."""
    found = None
    if settings.CODER_DATABASE_URL:
        follower = ReaderProgress.objects.filter(pk=ReaderProgress.Reader.FOLLOWER)
        found = follower.values_list("has_usage_experiment", flat=True).first()
    return configured_usage() if found is None else found
