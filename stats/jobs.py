from __future__ import annotations

from datetime import timedelta

from jobs.registry import Job, register
from stats.rollups.hours import make_partitions
from stats.rollups.retention import prune_stats
from stats.selectors import refresh_interval
from stats.services import collect_snapshot

COLLECT = register(
    Job(
        name="collect_deployment_stats",
        every=refresh_interval,
        run=lambda now: collect_snapshot(now).row_count,
    )
)
register(Job(name="make_stats_partitions", every=timedelta(minutes=30), run=make_partitions))
register(Job(name="prune_deployment_stats", every=timedelta(minutes=30), run=prune_stats))
