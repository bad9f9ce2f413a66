from __future__ import annotations

from datetime import datetime

from django.urls import reverse
from django.utils.html import format_html

from jobs import selectors
from jobs.models import JobRun
from jobs.registry import Job
from kernel.admin import Line, State, register
from kernel.text.humanize import since

MAX_ERROR_CHARACTERS = 120


def _lines(now: datetime) -> list[Line]:
    newest = selectors.newest_runs(now)
    return [
        _line(job, newest.get(job.name), due=slot, now=now) for slot, job in selectors.upcoming(now)
    ]


def _line(job: Job, run: JobRun | None, *, due: datetime, now: datetime) -> Line:
    name = job.name
    next_run = format_html("next {}", since(due, now)) if due > now else "due now"
    link = f"{reverse('admin:jobs_jobrun_changelist')}?job_name={name}"
    if run is None:
        return Line(name, format_html("never ran, {}", next_run), State.NOTICE, link)
    started = since(run.started_at, now)
    if run.state == "running":
        text, state = format_html("running, started {}", started), State.PLAIN
    elif run.failed:
        error = run.error[:MAX_ERROR_CHARACTERS]
        text, state = format_html("failed {}, {}: {}", started, next_run, error), State.BAD
    else:
        text, state = format_html("ran {}, {}", started, next_run), State.GOOD
    is_late = selectors.is_late(job, run, now=now)
    return Line(name, text, State.BAD if is_late else state, link)


register("Jobs", _lines, order=50)
