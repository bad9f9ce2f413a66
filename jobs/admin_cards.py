from __future__ import annotations

from datetime import datetime

from django.urls import reverse

from jobs import selectors
from jobs.models import JobRun
from jobs.registry import Job
from kernel.admin import Line, State, ago, register

MAX_ERROR_CHARACTERS = 120


def _lines(now: datetime) -> list[Line]:
    newest = selectors.newest_runs(now)
    return [
        _line(job, newest.get(job.name), due=slot, now=now) for slot, job in selectors.upcoming(now)
    ]


def _line(job: Job, run: JobRun | None, *, due: datetime, now: datetime) -> Line:
    name = job.name
    following = f"next {ago(due, now=now)}" if due > now else "due now"
    link = f"{reverse('admin:jobs_jobrun_changelist')}?job={name}"
    if run is None:
        return Line(name, f"never ran, {following}", State.NOTICE, link)
    begun = ago(run.started_at, now=now)
    late = selectors.is_late(job, run, now=now)
    if run.state == "running":
        return Line(name, f"runs, begun {begun}", State.BAD if late else State.PLAIN, link)
    if run.failed:
        text = f"failed {begun}, {following}: {run.error[:MAX_ERROR_CHARACTERS]}"
        return Line(name, text, State.BAD, link)
    return Line(name, f"ran {begun}, {following}", State.BAD if late else State.GOOD, link)


register("Jobs", _lines, order=50)
