from __future__ import annotations

from datetime import datetime

from django.urls import reverse

from kernel.admin import Line, State, register
from kernel.humanize import count, since
from stats.alarms import alarms
from stats.models import WorkspaceState
from stats.selectors import refresh_interval, snapshot_state

# A snapshot that is older than so many intervals says that nobody takes them.
LATE_AFTER = 3


def _stats(now: datetime) -> list[Line]:
    state = snapshot_state(now)
    page = reverse("admin:stats_workspacestate_changelist")
    known = WorkspaceState.objects.filter(deleted=False).count()
    failed = WorkspaceState.objects.in_state("failed").count()
    return [
        _newest_snapshot(state["collected_at"] if state else None, now),
        Line("workspaces known", count(known), link=page),
        Line(
            "workspaces failed",
            count(failed),
            State.BAD if failed else State.GOOD,
            f"{page}?state=failed",
        ),
        *_alarms(now),
    ]


def _alarms(now: datetime) -> list[Line]:
    link = reverse("admin:stats_snapshot_timelines")
    return [Line("alarm", alarm.text, State.NOTICE, link) for alarm in alarms(now) if alarm.on]


def _newest_snapshot(taken: datetime | None, now: datetime) -> Line:
    late = taken is None or now - taken > LATE_AFTER * refresh_interval()
    state = State.NOTICE if late else State.GOOD
    link = reverse("admin:stats_snapshot_changelist")
    return Line("newest snapshot", since(taken, now), state, link)


register("Deployment stats", _stats, order=40)
