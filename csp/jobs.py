"""Jobs that create partitions, and delete expired reports."""

from __future__ import annotations

from datetime import datetime, timedelta

from csp import services
from csp.counting.windows import recount_groups
from csp.triage.changes import settle_policies
from csp.writing.disk import limit_disk
from jobs.registry import Job, Result, register

PARTITIONS = register(
    Job(name="make_csp_partitions", every=timedelta(hours=6), run=services.make_partitions)
)


def _prune(now: datetime) -> Result:
    """Returns the number of deleted reports and groups."""
    pruned = services.prune_reports(now)
    return Result(pruned.reports + pruned.groups, f"Deleted {pruned}.")


PRUNE = register(Job(name="prune_csp_reports", every=timedelta(hours=6), run=_prune))

DISK = register(Job(name="limit_csp_disk", every=timedelta(minutes=10), run=limit_disk))

# Most runs find nothing to do. The first one of a day counts all groups again.
register(Job(name="recount_csp_groups", every=timedelta(minutes=10), run=recount_groups))

register(Job(name="update_csp_site_policies", every=timedelta(minutes=5), run=settle_policies))
