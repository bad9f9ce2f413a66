from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone

from kernel.admin import (
    Line,
    ReadOnlyAdmin,
    State,
    ValuesFilter,
    badge,
    choice_filter,
    column,
    error_column,
    register,
    time_column,
)
from kernel.text import humanize
from stats.alerts import alarms_on
from stats.applications import application
from stats.history.charts import DEFAULT_RANGE, RANGES, charts
from stats.jobs import COLLECT
from stats.models import Snapshot, WorkspaceState
from stats.selectors import refresh_interval, snapshot_state
from stats.states import WORDS


def _state_column(field: str) -> Callable[[Any, Snapshot], str]:
    """Creates an admin column with the number of workspaces in a state.

    The column shows "unknown" for backfilled snapshots that do not have this number.
    """

    @admin.display(description=field, ordering=field)
    def column(_: Any, snapshot: Snapshot) -> str:
        is_known = snapshot.knows_state(field)
        return humanize.count(getattr(snapshot, field)) if is_known else "unknown"

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
        ("rows", "workspaces_method", "latency_method", "duration"),
        "buildinfo_version",
        "own_options_digest",
    ]
    list_filter = ["workspaces_method", "latency_method", ("buildinfo_version", ValuesFilter)]
    date_hierarchy = "collected_at"
    pages = {"timelines/": "timelines"}

    @admin.display(description="collected (UTC)", ordering="collected_at")
    def collected(self, snapshot: Snapshot) -> str:
        # Show seconds, because there may be several snapshots per minute.
        return f"{snapshot.collected_at:%Y-%m-%d %H:%M:%S}"

    stopped_state = _state_column("stopped")
    building_state = _state_column("building")
    pending_state = _state_column("pending")
    failed_state = _state_column("failed")

    @admin.display
    def sessions(self, snapshot: Snapshot) -> str:
        """Lists the applications, those with the most sessions first."""
        if not snapshot.knows_sessions:
            return "unknown"
        counts = snapshot.session_counts
        names = sorted(counts, key=lambda name: (-counts[name], name))
        return ", ".join(f"{application(name).display_name} {counts[name]:,}" for name in names)

    received = column("rx_bytes", humanize.size, "received")
    sent = column("tx_bytes", humanize.size, "sent")
    p50 = column("latency_p50_ms", humanize.milliseconds, "p50")
    p95 = column("latency_p95_ms", humanize.milliseconds, "p95")
    rows = column("row_count", humanize.count, "rows")
    duration = column("duration_ms", humanize.milliseconds, "duration")

    def timelines(self, request: HttpRequest) -> HttpResponse:
        """Shows the charts of a range, the alarms that are on, and a link to the job's runs."""
        selected = request.GET.get("range")
        if selected not in RANGES:
            selected = DEFAULT_RANGE
        now = timezone.now()
        return self.page(
            request,
            "timelines",
            "Charts",
            ranges=list(RANGES),
            selected=selected,
            timelines=charts(selected, now=now),
            alarms=alarms_on(now),
            runs=reverse("admin:jobs_jobrun_changelist", query={"job_name": COLLECT.name}),
        )


BADGES = {
    "running": State.GOOD,
    "failed": State.BAD,
    "pending": State.NOTICE,
    "building": State.NOTICE,
    "canceled": State.NOTICE,
}


StateFilter = choice_filter(
    "state",
    {word: word for word in WORDS},
    lambda states, word: states.in_state(word),
)


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

    short_error = error_column
    changed = time_column("job_updated_at", "changed")
    job_started = time_column("job_started_at", "job started")
    job_canceled = time_column("job_canceled_at", "job canceled")
    job_completed = time_column("job_completed_at", "job completed")


# The newest snapshot is shown as late if it is older than this number of intervals.
LATE_AFTER_INTERVALS = 3


def _stats(now: datetime) -> list[Line]:
    page = reverse("admin:stats_workspacestate_changelist")
    timelines = reverse("admin:stats_snapshot_timelines")
    known = WorkspaceState.objects.filter(is_deleted=False).count()
    failed = WorkspaceState.objects.in_state("failed").count()
    return [
        _newest_snapshot(now),
        Line("workspaces known", humanize.count(known), link=page),
        Line(
            "workspaces failed",
            humanize.count(failed),
            State.BAD if failed else State.GOOD,
            f"{page}?state=failed",
        ),
        *(Line("alarm", alarm.text, State.NOTICE, timelines) for alarm in alarms_on(now)),
    ]


def _newest_snapshot(now: datetime) -> Line:
    state = snapshot_state(now)
    collected_at = state["collected_at"] if state else None
    is_late = not collected_at or now - collected_at > LATE_AFTER_INTERVALS * refresh_interval()
    link = reverse("admin:stats_snapshot_changelist")
    status = State.NOTICE if is_late else State.GOOD
    return Line("newest snapshot", humanize.since(collected_at, now), status, link)


register("Deployment stats", _stats, order=40)
