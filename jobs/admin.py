from __future__ import annotations

from datetime import datetime

from django.contrib import admin
from django.urls import reverse
from django.utils.html import format_html

from jobs import selectors
from jobs.models import JobRun
from jobs.registry import Job
from kernel.admin import (
    MAX_ERROR,
    Line,
    ReadOnlyAdmin,
    State,
    badge,
    choice_filter,
    error_column,
    register,
    time_column,
)
from kernel.text import humanize

STATES = {"ok": State.GOOD, "failed": State.BAD, "running": State.NOTICE}


StateFilter = choice_filter(
    "state", {name: name for name in STATES}, lambda runs, state: runs.in_state(state)
)


@admin.register(JobRun)
class JobRunAdmin(ReadOnlyAdmin):
    list_display = [
        "job_name",
        "scheduled_at",
        "started",
        "duration",
        "outcome",
        "short_error",
        "affected_rows",
        "process",
    ]
    fields = [
        ("job_name", "outcome"),
        ("scheduled_at", "started", "duration"),
        ("affected_rows", "summary"),
        "process",
        "error",
    ]
    list_filter = [StateFilter, "job_name"]
    search_fields = ["job_name", "error", "process"]
    date_hierarchy = "started_at"

    started = time_column("started_at", "started")

    def duration(self, run: JobRun) -> str:
        return humanize.duration(run.finished_at - run.started_at) if run.finished_at else "-"

    @admin.display(description="state")
    def outcome(self, run: JobRun) -> str:
        return badge(run.state, STATES[run.state])

    short_error = error_column


def _lines(now: datetime) -> list[Line]:
    newest = selectors.newest_runs(now)
    return [
        _line(job, newest.get(job.name), due=slot, now=now) for slot, job in selectors.upcoming(now)
    ]


def _line(job: Job, run: JobRun | None, *, due: datetime, now: datetime) -> Line:
    name = job.name
    next_run = format_html("next {}", humanize.since(due, now)) if due > now else "due now"
    link = f"{reverse('admin:jobs_jobrun_changelist')}?job_name={name}"
    if run is None:
        return Line(name, format_html("never ran, {}", next_run), State.NOTICE, link)
    started = humanize.since(run.started_at, now)
    if run.state == "running":
        text, state = format_html("running, started {}", started), State.PLAIN
    elif run.failed:
        error = run.error[:MAX_ERROR]
        text, state = format_html("failed {}, {}: {}", started, next_run, error), State.BAD
    else:
        text, state = format_html("ran {}, {}", started, next_run), State.GOOD
    is_late = selectors.is_late(job, run, now=now)
    return Line(name, text, State.BAD if is_late else state, link)


register("Jobs", _lines, order=50)
