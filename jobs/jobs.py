from __future__ import annotations

from datetime import timedelta

from jobs.registry import Job, register
from jobs.services import prune_runs

register(Job(name="prune_job_runs", every=timedelta(days=1), run=prune_runs))
