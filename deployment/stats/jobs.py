from __future__ import annotations

from datetime import datetime, timedelta

from deployment.stats.ladder import FIVE_MINUTES, build_rungs
from deployment.stats.repeated_ids import remove_repeated
from deployment.stats.retention import keep_hours_ahead, prune_stats
from deployment.stats.selectors import refresh_interval
from deployment.stats.services import collect_snapshot
from jobs.registry import Job, register


def _collect(now: datetime) -> int:
    return collect_snapshot(now).row_count


COLLECT = Job(name="collect_deployment_stats", every=refresh_interval, run=_collect)
KEEP_HOURS_AHEAD = Job(
    name="keep_stats_hours_ahead", every=timedelta(minutes=30), run=keep_hours_ahead
)
BUILD_RUNGS = Job(name="build_stats_rungs", every=FIVE_MINUTES, run=build_rungs)
PRUNE = Job(name="prune_deployment_stats", every=timedelta(minutes=30), run=prune_stats)
CHECK_IDS = Job(name="check_agent_stats_ids", every=timedelta(minutes=1), run=remove_repeated)


def register_all() -> None:
    for job in (COLLECT, KEEP_HOURS_AHEAD, BUILD_RUNGS, PRUNE, CHECK_IDS):
        register(job)
