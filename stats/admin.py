from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils import timezone

from jobs.models import JobRun
from kernel import for_people
from kernel.admin import ReadOnlyAdmin
from stats.alarms import alarms
from stats.history.charts import DEFAULT_RANGE, RANGES, charts
from stats.jobs import COLLECT
from stats.models import Snapshot, WorkspaceState

NEWEST_RUNS = 20


def _written(field: str, write: Callable[[Any], str], name: str) -> Callable[[Any, Snapshot], str]:
    """Makes a column of the list that shows a figure as people write it."""

    @admin.display(description=name, ordering=field)
    def column(_: Any, snapshot: Snapshot) -> str:
        return write(getattr(snapshot, field))

    return column


@admin.register(Snapshot)
class SnapshotAdmin(ReadOnlyAdmin):
    change_list_template = "admin/stats/snapshot/change_list.html"
    list_display = [
        "collected",
        "running",
        "stopped",
        "building",
        "pending",
        "failed",
        "received",
        "sent",
        "p50",
        "p95",
        "row_count",
        "method",
        "took",
    ]
    list_filter = ["source", "method", "build_version"]
    date_hierarchy = "collected_at"

    @admin.display(description="collected (UTC)", ordering="collected_at")
    def collected(self, snapshot: Snapshot) -> str:
        # With seconds: there may be two snapshots a minute.
        return f"{snapshot.collected_at:%Y-%m-%d %H:%M:%S}"

    received = _written("rx_bytes", for_people.size, "received")
    sent = _written("tx_bytes", for_people.size, "sent")
    p50 = _written("latency_p50", for_people.milliseconds, "p50")
    p95 = _written("latency_p95", for_people.milliseconds, "p95")
    took = _written("duration_ms", for_people.milliseconds, "took")

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.timelines)
        own = path("timelines/", view, name="stats_snapshot_timelines")
        return [own, *super().get_urls()]

    def timelines(self, request: HttpRequest) -> HttpResponse:
        """Shows charts of a range of history, alarms, and the newest runs."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        asked = request.GET.get("range", DEFAULT_RANGE)
        chosen = asked if asked in RANGES else DEFAULT_RANGE
        now = timezone.now()
        context: dict[str, Any] = {
            **self.admin_site.each_context(request),
            "title": "Timelines",
            "opts": self.opts,
            "ranges": list(RANGES),
            "chosen": chosen,
            "charts": charts(chosen, now=now),
            "alarms": [alarm for alarm in alarms(now) if alarm.on],
            "runs": newest_runs(),
        }
        return TemplateResponse(request, "admin/stats/snapshot/timelines.html", context)


def newest_runs() -> list[tuple[JobRun, timedelta | None]]:
    """Returns the collector's newest runs, and how long each took; None while it runs."""
    runs = JobRun.objects.of(COLLECT.name).order_by("-started_at")[:NEWEST_RUNS]
    return [(run, run.finished_at - run.started_at if run.finished_at else None) for run in runs]


@admin.register(WorkspaceState)
class WorkspaceStateAdmin(ReadOnlyAdmin):
    list_display = ["workspace_id", "transition", "build_number", "changed", "deleted"]
    list_filter = ["transition", "deleted"]
    search_fields = ["workspace_id"]

    @admin.display(ordering="job_updated_at")
    def changed(self, state: WorkspaceState) -> str:
        return for_people.since(state.job_updated_at)
