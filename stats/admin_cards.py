from __future__ import annotations

from datetime import datetime

from django.urls import reverse

from kernel.admin import Line, State, register
from kernel.text.humanize import count, since
from stats.alarms import alarms_on
from stats.models import WorkspaceState
from stats.selectors import refresh_interval, snapshot_state

# The newest snapshot is shown as late if it is older than this number of intervals.
LATE_AFTER_INTERVALS = 3


def _stats(now: datetime) -> list[Line]:
    page = reverse("admin:stats_workspacestate_changelist")
    timelines = reverse("admin:stats_snapshot_timelines")
    known = WorkspaceState.objects.filter(is_deleted=False).count()
    failed = WorkspaceState.objects.in_state("failed").count()
    return [
        _newest_snapshot(now),
        Line("workspaces known", count(known), link=page),
        Line(
            "workspaces failed",
            count(failed),
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
    return Line("newest snapshot", since(collected_at, now), status, link)


register("Deployment stats", _stats, order=40)
