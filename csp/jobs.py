"""Jobs that create partitions, and delete expired reports."""

from __future__ import annotations

from datetime import datetime, timedelta

from csp import services
from csp.disk import limit_disk
from jobs.registry import Job, register

PARTITIONS = register(
    Job(name="make_csp_partitions", every=timedelta(hours=6), run=services.make_partitions)
)


def _prune(now: datetime) -> int:
    """Returns the number of dropped partitions plus the number of deleted groups."""
    partitions, groups = services.prune_reports(now)
    return len(partitions) + groups


PRUNE = register(Job(name="prune_csp_reports", every=timedelta(hours=6), run=_prune))

DISK = register(Job(name="limit_csp_disk", every=timedelta(minutes=10), run=limit_disk))
