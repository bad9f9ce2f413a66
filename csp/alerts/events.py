"""Finds the events that a channel gets alerts for, and writes a row for each alert.

A unique constraint allows one row for an event of a group. The time `since` identifies the event,
so it must not change later.

| event | when | `since` |
| --- | --- | --- |
| new | a group that no operator has decided about reaches the channel's number of clients | when the group was created |
| limit_reached | an ignored group is new again | when it was ignored |
| regressed | a resolved group has a new report | when it was resolved |
| growing | a group "other" has many more clients than at its last alert | the hour |
| summary | more alerts are due than the channel may send in an hour | when it was written |
"""  # noqa: E501 - a table

from __future__ import annotations

import uuid
from datetime import datetime, time, timedelta
from typing import Any

from django.db import transaction
from django.db.models import Exists, F, OuterRef, QuerySet, Subquery, Value
from django.db.models.functions import Coalesce

from csp.models import AlertChannel, AlertDelivery, Group, State
from csp.triage.selectors import groups_at
from csp.triage.states import OPEN, REGRESSED
from csp.writing.grouping import OTHER

NEW, LIMIT_REACHED, GROWING, SUMMARY = "new", "limit_reached", "growing", "summary"
# A channel with a higher limit sends its alerts in several runs of the job.
MAX_SENT_AT_ONCE = 20
KEPT = timedelta(days=90)
_HOUR = timedelta(hours=1)
_SETTLED = (State.IGNORED, State.RESOLVED)

Status = AlertDelivery.Status


def record_due(channel: AlertChannel, *, now: datetime, status: str = Status.PENDING) -> None:
    """Writes the rows that are missing: one for each event and channel."""
    visible: Any = groups_at(now).visible()
    decided_at = Coalesce("state_at", "opened_at")
    new = visible.filter(state=State.NEW, client_days__gte=channel.min_reach)
    over = visible.filter(state=State.IGNORED, current=State.NEW)
    for event, groups in (
        (NEW, new.annotate(since=F("opened_at"))),
        (LIMIT_REACHED, over.annotate(since=decided_at)),
        (REGRESSED, visible.filter(current=REGRESSED).annotate(since=decided_at)),
        # The last one, because the rows above count as alerts of a group "other".
        (GROWING, _growing(channel, visible, now)),
    ):
        same = {"event": event, "since": OuterRef("since"), "group_id": OuterRef("pk")}
        unknown = groups.exclude(Exists(channel.deliveries.filter(**same)))
        common = {"channel": channel, "status": status, "created_at": now, "due_at": now}
        rows = [
            AlertDelivery(group_id=key, event=event, since=since, clients=clients, **common)
            for key, since, clients in unknown.values_list("pk", "since", "client_days")
        ]
        AlertDelivery.objects.bulk_create(rows, ignore_conflicts=True)


def _growing(channel: AlertChannel, visible: Any, now: datetime) -> Any:
    """Returns the groups "other" with `min_reach` more clients than at their last alert.

    Such a group collects the causes that got no group of their own. So one of them may affect many
    visitors.
    """
    alerts = channel.deliveries.filter(
        group_id=OuterRef("pk"), created_at__gte=OuterRef("opened_at")
    )
    most = Subquery(alerts.order_by("-clients").values("clients")[:1])
    return (
        visible.filter(blocked=OTHER)
        .exclude(current__in=_SETTLED)
        .filter(client_days__gte=Coalesce(most, 0) + channel.min_reach)
        .annotate(since=Value(now.replace(minute=0, second=0, microsecond=0)))
    )


def is_current(delivery: AlertDelivery, group: Group | None) -> bool:
    """Returns whether the alert is still of use. `group` has its current state."""
    if delivery.event == SUMMARY:
        return True
    state = getattr(group, "current", None)
    if delivery.event == GROWING:
        return group is not None and state not in _SETTLED
    return state in OPEN


def pending(channel: AlertChannel, *, now: datetime) -> list[uuid.UUID]:
    """Returns the alerts that may be sent now, those of groups with the most clients first.

    If the limit of the hour is reached, replaces the other alerts with a summary.
    """
    if is_quiet(channel, now):
        return []
    clients = Group.objects.filter(pk=OuterRef("group_id")).values("client_days")
    due = channel.deliveries.filter(status=Status.PENDING, due_at__lte=now)
    alerts = due.exclude(event=SUMMARY)
    recent = channel.deliveries.filter(sent_at__gt=now - _HOUR).exclude(event=SUMMARY).count()
    left = max(0, channel.hourly_limit - recent)
    ordered = alerts.order_by(Coalesce(Subquery(clients), 0).desc(), "due_at")
    chosen = list(ordered.values_list("pk", flat=True)[: min(left, MAX_SENT_AT_ONCE)])
    if left <= MAX_SENT_AT_ONCE:
        _summarize(channel, alerts.exclude(pk__in=chosen), now)
    return [*chosen, *due.filter(event=SUMMARY).values_list("pk", flat=True)]


def _summarize(channel: AlertChannel, alerts: QuerySet[AlertDelivery], now: datetime) -> None:
    """Replaces alerts that were never attempted with a summary, at most once an hour."""
    with transaction.atomic():
        if channel.deliveries.filter(event=SUMMARY, created_at__gt=now - _HOUR).exists():
            return
        if number := alerts.filter(attempts=0).update(status=Status.SUMMARIZED):
            AlertDelivery.objects.create(
                channel=channel,
                event=SUMMARY,
                groups=number,
                since=now,
                created_at=now,
                due_at=now,
            )


def is_quiet(channel: AlertChannel, now: datetime) -> bool:
    """Returns whether it is within the channel's quiet hours, which may include midnight."""
    start, end = channel.quiet_from, channel.quiet_until
    if start is None or end is None or start == end:
        return False
    at: time = now.time()
    return start <= at < end if start < end else at >= start or at < end


def forget_old(now: datetime) -> None:
    """Deletes old rows. The row of a group that still exists is kept: it prevents a second alert.

    But a summary is deleted.
    """
    groups = Group.objects.filter(pk=OuterRef("group_id"))
    AlertDelivery.objects.filter(~Exists(groups), created_at__lt=now - KEPT).delete()
