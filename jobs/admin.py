from __future__ import annotations

from typing import Any, cast

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from jobs.models import JobRun, JobRunQuerySet
from kernel.admin import ReadOnlyAdmin, State, badge, error_column, time_column
from kernel.text import humanize

STATES = {"ok": State.GOOD, "failed": State.BAD, "running": State.NOTICE}


class StateFilter(admin.SimpleListFilter):
    title = parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(name, name) for name in STATES]

    def queryset(self, request: HttpRequest, queryset: QuerySet[JobRun]) -> QuerySet[JobRun]:
        runs, state = cast("JobRunQuerySet", queryset), self.value()
        return runs.in_state(state) if state in STATES else runs


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
