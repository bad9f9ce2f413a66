from __future__ import annotations

from django.contrib import admin

from jobs.models import JobRun
from kernel.admin import ReadOnlyAdmin


@admin.register(JobRun)
class JobRunAdmin(ReadOnlyAdmin):
    list_display = ["job", "slot", "started_at", "finished_at", "run_state", "rows", "host"]
    list_filter = ["job"]
    search_fields = ["job", "error", "host"]
    date_hierarchy = "started_at"

    @admin.display(description="state")
    def run_state(self, run: JobRun) -> str:
        return run.state
