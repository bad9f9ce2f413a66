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
from stats.alarms import alarms_on
from stats.history.charts import DEFAULT_RANGE, RANGES, charts
from stats.jobs import COLLECT
from stats.models import Snapshot, WorkspaceState, WorkspaceStateQuerySet
from stats.statistics import STATES

NEWEST_RUNS = 20
MAX_ERROR = 120


def _column(
    field: str, name: str, write: Callable[[Any], str] = humanize.count
) -> Callable[[Any, Snapshot], str]:
    """Creates an admin column that shows the value of `field`, formatted by `write`.

    The column shows "unknown" for workspaces in a state that a backfilled snapshot does not have.
    """

    @admin.display(description=name, ordering=field)
    def column(_: Any, snapshot: Snapshot) -> str:
        is_known = field not in STATES or snapshot.knows_state(field)
        return write(getattr(snapshot, field)) if is_known else "unknown"

    return column


@admin.register(Snapshot)
class SnapshotAdmin(ReadOnlyAdmin):
    change_list_template = "admin/stats/snapshot/change_list.html"
    list_display = [
        *("collected", "running", "stopped_state", "building_state", "pending_state"),
        *("failed_state", "received", "sent", "p50", "p95", "rows"),
    ]
    fields = [
        ("collected", "aggregated_from"),
        ("running", "stopped_state", "building_state", "pending_state", "failed_state"),
        "sessions",
        ("received", "sent"),
        ("p50", "p95"),
        ("rows", "source", "method", "duration"),
        "build_version",
        "configuration_hash",
    ]
    list_filter = ["source", "method", ("build_version", ValuesFilter)]
    date_hierarchy = "collected_at"

    @admin.display(description="collected (UTC)", ordering="collected_at")
    def collected(self, snapshot: Snapshot) -> str:
        # Show seconds, because there may be several snapshots per minute.
        return f"{snapshot.collected_at:%Y-%m-%d %H:%M:%S}"

    stopped_state = _column("stopped", "stopped")
    building_state = _column("building", "building")
    pending_state = _column("pending", "pending")
    failed_state = _column("failed", "failed")

    @admin.display
    def sessions(self, snapshot: Snapshot) -> str:
        counts = ", ".join(f"{kind} {n:,}" for kind, n in snapshot.session_counts.items())
        return counts if snapshot.knows_sessions else "unknown"

    received = _column("rx_bytes", "received", humanize.size)
    sent = _column("tx_bytes", "sent", humanize.size)
    p50 = _column("latency_p50", "p50", humanize.milliseconds)
    p95 = _column("latency_p95", "p95", humanize.milliseconds)
    rows = _column("row_count", "rows")
    duration = _column("duration_ms", "duration", humanize.milliseconds)

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.timelines)
        return [path("timelines/", view, name="stats_snapshot_timelines"), *super().get_urls()]

    def timelines(self, request: HttpRequest) -> HttpResponse:
        """Shows the charts of a range, the alarms that are on, and the collector's newest runs."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        selected = request.GET.get("range")
        if selected not in RANGES:
            selected = DEFAULT_RANGE
        now = timezone.now()
        context: dict[str, Any] = {
            **self.admin_site.each_context(request),
            "title": "Timelines",
            "opts": self.opts,
            "ranges": list(RANGES),
            "selected": selected,
            "timelines": charts(selected, now=now),
            "alarms": alarms_on(now),
            "runs": newest_runs(),
        }
        return TemplateResponse(request, "admin/stats/snapshot/timelines.html", context)


def newest_runs() -> list[tuple[JobRun, timedelta | None]]:
    """Returns the collector's newest runs, and their durations (None for a running run)."""
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
        states, word = cast("WorkspaceStateQuerySet", queryset), self.value()
        return states.in_state(word) if word else states


@admin.register(WorkspaceState)
class WorkspaceStateAdmin(ReadOnlyAdmin):
    list_display = ["workspace_id", "state", "short_error", "changed", "transition", "build_number"]
    list_filter = [StateFilter, "transition"]
    search_fields = ["workspace_id", "error"]
    fields = [
        *("workspace_id", "state", "error", "transition", "build_number"),
        *("job_started", "job_canceled", "job_completed", "changed"),
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
