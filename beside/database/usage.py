"""Whether the rows of Coder's database are usage rows. Each process imports this at its start."""

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
