from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any, cast

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.text import Truncator

from jobs.models import JobRun
from kernel import humanize
from kernel.admin import ReadOnlyAdmin, State, ValuesFilter, badge, time_column
from stats.alarms import alarms
from stats.history.charts import DEFAULT_RANGE, RANGES, charts
from stats.jobs import COLLECT
from stats.models import Snapshot, WorkspaceState, WorkspaceStateQuerySet

NEWEST_RUNS = 20
MAX_ERROR = 120


def _written(field: str, write: Callable[[Any], str], name: str) -> Callable[[Any, Snapshot], str]:
    """Makes a column of the list that shows a figure as people write it."""

    @admin.display(description=name, ordering=field)
    def column(_: Any, snapshot: Snapshot) -> str:
        return write(getattr(snapshot, field))

    return column


def _state(field: str) -> Callable[[Any, Snapshot], str]:
    """Makes a column for a state of which a backfilled snapshot knows nothing."""

    @admin.display(description=field, ordering=field)
    def column(_: Any, snapshot: Snapshot) -> str:
        known = snapshot.source != Snapshot.Source.BACKFILL
        return humanize.count(getattr(snapshot, field)) if known else "unknown"

    return column


@admin.register(Snapshot)
class SnapshotAdmin(ReadOnlyAdmin):
    change_list_template = "admin/stats/snapshot/change_list.html"
    list_display = [
        "collected",
        "running",
        "stopped_then",
        "building_then",
        "pending_then",
        "failed_then",
        "received",
        "sent",
        "p50",
        "p95",
        "rows",
    ]
    fields = [
        ("collected", "aggregated_from"),
        ("running", "stopped_then", "building_then", "pending_then", "failed_then"),
        "sessions",
        ("received", "sent"),
        ("p50", "p95"),
        ("rows", "source", "method", "took"),
        "build_version",
        "configuration_hash",
    ]
    list_filter = ["source", "method", ("build_version", ValuesFilter)]
    date_hierarchy = "collected_at"

    @admin.display(description="collected (UTC)", ordering="collected_at")
    def collected(self, snapshot: Snapshot) -> str:
        # With seconds: there may be two snapshots a minute.
        return f"{snapshot.collected_at:%Y-%m-%d %H:%M:%S}"

    stopped_then = _state("stopped")
    building_then = _state("building")
    pending_then = _state("pending")
    failed_then = _state("failed")

    @admin.display
    def sessions(self, snapshot: Snapshot) -> str:
        return ", ".join(f"{kind} {n:,}" for kind, n in snapshot.session_counts.items())

    received = _written("rx_bytes", humanize.size, "received")
    sent = _written("tx_bytes", humanize.size, "sent")
    p50 = _written("latency_p50", humanize.milliseconds, "p50")
    p95 = _written("latency_p95", humanize.milliseconds, "p95")
    rows = _written("row_count", humanize.count, "rows")
    took = _written("duration_ms", humanize.milliseconds, "took")

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


BADGES = {
    "running": State.GOOD,
    "failed": State.BAD,
    "pending": State.NOTICE,
    "building": State.NOTICE,
    "canceled": State.NOTICE,
}


class StateFilter(admin.SimpleListFilter):
    title = parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(word, word) for word in WorkspaceState.WORDS]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        states, chosen = cast("WorkspaceStateQuerySet", queryset), self.value()
        return states.in_state(chosen) if chosen else states


@admin.register(WorkspaceState)
class WorkspaceStateAdmin(ReadOnlyAdmin):
    list_display = ["workspace_id", "state", "short_error", "changed", "transition", "build_number"]
    list_filter = [StateFilter, "transition"]
    search_fields = ["workspace_id", "error"]
    fields = [
        "workspace_id",
        "state",
        "error",
        "transition",
        "build_number",
        "job_started",
        "job_canceled",
        "job_completed",
        "changed",
    ]

    def get_queryset(self, request: HttpRequest) -> QuerySet[WorkspaceState]:
        return super().get_queryset(request).with_word()  # type: ignore[no-any-return, attr-defined]

    @admin.display(ordering="word")
    def state(self, state: Any) -> str:
        return badge(state.word, BADGES.get(state.word, State.PLAIN))

    @admin.display(description="error", ordering="error")
    def short_error(self, state: WorkspaceState) -> str:
        return Truncator(state.error).chars(MAX_ERROR)

    changed = time_column("job_updated_at", "changed")
    job_started = time_column("job_started_at", "job started")
    job_canceled = time_column("job_canceled_at", "job canceled")
    job_completed = time_column("job_completed_at", "job completed")
