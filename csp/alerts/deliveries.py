"""Decides which alerts to send, and sends them. The job `csp_alerts` does both every minute.

An alert is written as a row before it is sent, and a unique constraint allows one row for an event.
So a restart neither loses an alert nor sends it again. If the process is killed while it waits for
the response of the other server, it is unknown whether the alert arrived. Then it is sent again
with the same delivery id.
"""

from __future__ import annotations

import time
import uuid
from datetime import datetime, timedelta
from email.errors import MessageError
from ipaddress import ip_network

from django.conf import settings
from django.core.mail import EmailMessage
from django.db import transaction
from django.db.models import Exists, OuterRef
from django.urls import reverse

from csp.advice.causes import cause
from csp.alerts.messages import Alert, encoded, signed_headers
from csp.models import AlertChannel, AlertDelivery, Group, State
from csp.triage.selectors import groups_at
from csp.triage.serializers import GroupSerializer
from csp.triage.states import OPEN, REGRESSED
from kernel.outgoing import Outgoing, OutgoingError, send

Status = AlertDelivery.Status
# The time from each failed attempt to the next one. If the attempt after the last of these times
# fails too, the delivery has failed.
BACKOFF = [timedelta(minutes=minutes) for minutes in (1, 5, 30, 120, 720)]
SEND_SECONDS = 10.0
# A receiver that answers slowly must not delay the alerts of other channels for long.
MAX_SENT_AT_ONCE = 20
KEPT = timedelta(days=90)


def alert(now: datetime) -> int:
    """Records due alerts. Sends those that may be sent now, and returns their number."""
    channels = list(AlertChannel.objects.filter(enabled=True))
    for channel in channels:
        record_due(channel, now=now)
    # The row of a group that still exists is kept, because it prevents a second alert.
    groups = Group.objects.filter(pk=OuterRef("group_id"))
    AlertDelivery.objects.filter(~Exists(groups), created_at__lt=now - KEPT).delete()
    begun, sent = time.monotonic(), 0
    for channel in channels:
        for key in _pending(channel, now):
            # Slow receivers may have taken minutes by now.
            sent += _deliver(key, now + timedelta(seconds=time.monotonic() - begun))
    return sent


def record_due(channel: AlertChannel, *, now: datetime, status: str = Status.PENDING) -> None:
    """Writes the rows that are missing: one for each event and channel."""
    visible = groups_at(now).visible()
    new = visible.filter(current=State.NEW, client_days__gte=channel.min_reach)
    again = visible.filter(current=REGRESSED)
    for event, groups, since in (("new", new, "first_seen"), (REGRESSED, again, "state_at")):
        same = {"event": event, "since": OuterRef(since), "group_id": OuterRef("pk")}
        unknown = groups.exclude(Exists(channel.deliveries.filter(**same)))
        common = {"channel": channel, "status": status, "created_at": now, "due_at": now}
        rows = [
            AlertDelivery(group_id=key, event=event, since=at, **common)
            for key, at in unknown.values_list("pk", since)
        ]
        AlertDelivery.objects.bulk_create(rows, ignore_conflicts=True)


def _pending(channel: AlertChannel, now: datetime) -> list[uuid.UUID]:
    """Returns the deliveries that may be sent now, oldest first."""
    recent = channel.deliveries.filter(sent_at__gt=now - timedelta(hours=1)).count()
    left = min(channel.hourly_limit - recent, MAX_SENT_AT_ONCE)
    if left <= 0 or is_quiet(channel, now):
        return []
    due = channel.deliveries.filter(status=Status.PENDING, due_at__lte=now).order_by("due_at")
    return list(due.values_list("pk", flat=True)[:left])


def is_quiet(channel: AlertChannel, now: datetime) -> bool:
    """Returns whether it is within the channel's quiet hours, which may include midnight."""
    start, end = channel.quiet_from, channel.quiet_until
    if start is None or end is None or start == end:
        return False
    at = now.time()
    return start <= at < end if start < end else at >= start or at < end


def _deliver(key: uuid.UUID, now: datetime) -> int:
    """Sends one alert, and stores the result. Returns 1 if it was sent."""
    with transaction.atomic():
        pending = AlertDelivery.objects.filter(pk=key, status=Status.PENDING, due_at__lte=now)
        delivery = pending.select_for_update(skip_locked=True, of=("self",)).first()
        if delivery is None:
            return 0
        # Another worker takes the delivery only after this time, so it is sent once.
        delivery.attempts += 1
        delivery.due_at = now + BACKOFF[min(delivery.attempts, len(BACKOFF)) - 1]
        delivery.save(update_fields=["attempts", "due_at"])
    group = groups_at(now).filter(pk=delivery.group_id).first()
    try:
        if group is None or group.current not in OPEN:
            # An operator has decided about the group while the alert was waiting.
            delivery.status = Status.KNOWN
        else:
            send_alert(delivery.channel, _alert(delivery, group))
            delivery.status, delivery.sent_at, delivery.error = Status.SENT, now, ""
    except (OutgoingError, OSError) as error:
        delivery.error = str(error)[:512]
        if delivery.attempts > len(BACKOFF):
            delivery.status = Status.FAILED
    delivery.save(update_fields=["status", "sent_at", "error"])
    return int(delivery.status == Status.SENT)


def _alert(delivery: AlertDelivery, group: Group) -> Alert:
    return Alert(
        delivery=str(delivery.pk),
        event=delivery.event,
        cause=cause(group.directive, group.blocked),
        url=_url(reverse("admin:csp_group_change", args=[group.pk])),
        group=dict(GroupSerializer(group).data),
    )


def test_of(channel: AlertChannel) -> Alert:
    """Returns the alert that tests a channel."""
    url = _url(reverse("admin:csp_group_changelist"))
    return Alert(str(uuid.uuid4()), "test", f"the channel {channel.name}", url, {})


def _url(path: str) -> str:
    return f"{settings.ACCESS_URL.rstrip('/')}{path}"


def send_alert(channel: AlertChannel, alert: Alert) -> None:
    """Sends the alert. Raises: OutgoingError or OSError if the receiver did not accept it."""
    if channel.kind == AlertChannel.Kind.EMAIL:
        message = EmailMessage(f"[coderapi] {alert.title}", alert.text, to=[channel.address])
        try:
            message.send()
        except (ValueError, MessageError) as error:
            raise OutgoingError(f"The message cannot be sent: {error}") from None
        return
    body = encoded(channel.kind, alert)
    headers = signed_headers(
        body, secret=channel.secret, delivery=alert.delivery, at=int(time.time())
    )
    networks = [ip_network(text) for text in settings.OUTGOING_NETWORKS]
    request = Outgoing(channel.address, headers, method="POST", body=body, networks=networks)
    reply = send(request, seconds=SEND_SECONDS)
    if not 200 <= reply.status < 300:
        raise OutgoingError(f"The server returned status {reply.status}")
