from __future__ import annotations

from django.contrib import admin

from jobs.models import JobRun
from kernel.admin import ReadOnlyAdmin
from kernel.for_people import duration, since


@admin.register(JobRun)
class JobRunAdmin(ReadOnlyAdmin):
    list_display = ["job", "slot", "started", "took", "run_state", "rows", "host"]
    list_filter = ["job"]
    search_fields = ["job", "error", "host"]
    date_hierarchy = "started_at"

    @admin.display(ordering="started_at")
    def started(self, run: JobRun) -> str:
        return since(run.started_at)

    @admin.display
    def took(self, run: JobRun) -> str:
        return duration(run.finished_at - run.started_at) if run.finished_at else "-"

    @admin.display(description="state")
    def run_state(self, run: JobRun) -> str:
        return run.state
