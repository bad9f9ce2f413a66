from __future__ import annotations

from datetime import datetime, timedelta

from jobs.registry import Job, register
from stats.retention import prune_stats
from stats.rollups.hours import keep_hours_ahead
from stats.selectors import refresh_interval
from stats.services import collect_snapshot


def _collect(now: datetime) -> int:
    return collect_snapshot(now).row_count


COLLECT = register(Job(name="collect_deployment_stats", every=refresh_interval, run=_collect))
register(Job(name="keep_stats_hours_ahead", every=timedelta(minutes=30), run=keep_hours_ahead))
register(Job(name="prune_deployment_stats", every=timedelta(minutes=30), run=prune_stats))
