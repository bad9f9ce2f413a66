"""Decides which messages to make of the recorded alerts.

A few alerts are a message each. If there are more, or the limit of the hour is nearly reached, one
message lists all of them, at most one such message in a minute. So a storm of alerts is a few
messages, and no alert is lost.
"""

from __future__ import annotations

import uuid
from datetime import datetime, time, timedelta

from django.db import transaction

from alerts.models import Alert, Channel, Delivery
from alerts.recording import drop_outdated

# Up to this number of alerts, each alert is a message of its own.
MAX_SINGLE = 3
_HOUR, _MINUTE = timedelta(hours=1), timedelta(minutes=1)


def compose(channel: Channel, *, now: datetime) -> None:
    """Makes deliveries of the channel's waiting alerts, unless it is within its quiet hours."""
    if is_quiet(channel, now):
        return
    with transaction.atomic():
        # Only one worker makes the deliveries of a channel at a time.
        locked = Channel.objects.select_for_update(skip_locked=True).filter(pk=channel.pk)
        waiting = channel.alerts.filter(status=Alert.Status.PENDING, delivery=None)
        made = channel.deliveries.filter(created_at__gt=now - _HOUR)
        if locked.first() is None or not waiting.exists():
            return
        left = channel.hourly_limit - made.count()
        if left <= 0:
            return
        alerts = drop_outdated(waiting, now)
        # The last message of the hour lists all alerts.
        if len(alerts) <= MAX_SINGLE and len(alerts) <= max(left - 1, 1):
            for alert in alerts:
                _deliver(channel, [alert], now)
        elif not made.filter(created_at__gt=now - _MINUTE).exists():
            _deliver(channel, alerts, now)


def _deliver(channel: Channel, alerts: list[Alert], now: datetime) -> None:
    delivery = Delivery.objects.create(channel=channel, created_at=now, due_at=now)
    Alert.objects.filter(pk__in=[alert.pk for alert in alerts]).update(delivery=delivery)


def pending(channel: Channel, *, now: datetime) -> list[uuid.UUID]:
    """Returns the deliveries that may be sent now, oldest first."""
    if is_quiet(channel, now):
        return []
    due = channel.deliveries.filter(status=Delivery.Status.PENDING, due_at__lte=now)
    return list(due.order_by("due_at", "created_at").values_list("pk", flat=True))


def is_quiet(channel: Channel, now: datetime) -> bool:
    """Returns whether it is within the channel's quiet hours, which may include midnight."""
    start, end = channel.quiet_from, channel.quiet_until
    if start is None or end is None or start == end:
        return False
    at: time = now.time()
    return start <= at < end if start < end else at >= start or at < end
