"""Sends alerts. The job `csp_alerts` does so every minute.

An alert is written as a row before it is sent. So a restart neither loses an alert nor sends it
again. If the process is killed while it waits for the response of the other server, it is unknown
whether the alert arrived. Then it is sent again with the same delivery id.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from datetime import datetime, timedelta
from email.errors import MessageError
from ipaddress import ip_network

from django.conf import settings
from django.core.mail import EmailMessage
from django.db import transaction
from django.urls import reverse

from csp.advice.causes import cause
from csp.alerts import events
from csp.alerts.messages import Alert, encoded, signed_headers
from csp.models import AlertChannel, AlertDelivery, Group
from csp.triage.selectors import groups_at
from csp.triage.serializers import GroupSerializer
from kernel.outgoing import Outgoing, OutgoingError, send

Status = AlertDelivery.Status
# The time from each failed attempt to the next one. If the attempt after the last of these times
# fails too, the delivery has failed.
BACKOFF = [timedelta(minutes=minutes) for minutes in (1, 5, 30, 120, 720)]
SEND_SECONDS = 10.0
# Alerts of so many channels are sent at the same time.
MAX_SENDING = 8
# After this time, a run of the job starts no further delivery.
RUN_SECONDS = 30.0


def alert(now: datetime) -> int:
    """Records due alerts. Sends those that may be sent now, and returns their number."""
    channels = list(AlertChannel.objects.filter(enabled=True))
    for channel in channels:
        events.record_due(channel, now=now)
    events.forget_old(now)
    with ThreadPoolExecutor(MAX_SENDING, thread_name_prefix="alerts") as pool:
        run = _Run(pool, now)
        for channel in channels:
            run.start(channel, iter(events.pending(channel, now=now)))
        run.wait()
    return run.sent


class _Run:
    """Sends the alerts of all channels side by side, and those of each channel one by one.

    So a receiver that responds slowly delays only its own channel. After an alert has failed, the
    channel gets no further alert in this run. Only this thread uses the database.
    """

    def __init__(self, pool: ThreadPoolExecutor, now: datetime) -> None:
        self.sent = 0
        self._pool = pool
        self._now = now
        self._begun = time.monotonic()
        self._running: dict[Future[None], tuple[AlertDelivery, Iterable[uuid.UUID]]] = {}

    def start(self, channel: AlertChannel, keys: Iterable[uuid.UUID]) -> None:
        """Starts to send the first of these alerts that is still of use."""
        for key in keys:
            if self._elapsed() > timedelta(seconds=RUN_SECONDS):
                return
            delivery = _claim(key, self._now + self._elapsed())
            if delivery is None:
                continue
            delivery.channel = channel
            found = _alert(delivery, self._now)
            if found is None:
                # An operator has decided about the group while the alert was waiting.
                _store(delivery, Status.KNOWN)
                continue
            self._running[self._pool.submit(send_alert, channel, found)] = delivery, keys
            return

    def wait(self) -> None:
        """Waits until all started alerts have ended. Starts the next alert of each channel."""
        while self._running:
            for future in wait(self._running, return_when=FIRST_COMPLETED).done:
                delivery, keys = self._running.pop(future)
                if _end(delivery, future, self._now + self._elapsed()):
                    self.sent += 1
                    self.start(delivery.channel, keys)

    def _elapsed(self) -> timedelta:
        return timedelta(seconds=time.monotonic() - self._begun)


def _claim(key: uuid.UUID, now: datetime) -> AlertDelivery | None:
    """Counts an attempt. Returns None if another worker has claimed the delivery."""
    with transaction.atomic():
        pending = AlertDelivery.objects.filter(pk=key, status=Status.PENDING, due_at__lte=now)
        delivery = pending.select_for_update(skip_locked=True, of=("self",)).first()
        if delivery is not None:
            # Another worker takes the delivery only after this time, so it is sent once.
            delivery.attempts += 1
            delivery.due_at = now + BACKOFF[min(delivery.attempts, len(BACKOFF)) - 1]
            delivery.save(update_fields=["attempts", "due_at"])
    return delivery


def _end(delivery: AlertDelivery, sending: Future[None], now: datetime) -> bool:
    """Stores the result of an attempt. Returns whether the alert was sent."""
    try:
        sending.result()
    except (OutgoingError, OSError) as error:
        delivery.error = str(error)[:512]
        has_failed = delivery.attempts > len(BACKOFF)
        _store(delivery, Status.FAILED if has_failed else Status.PENDING)
        return False
    delivery.sent_at, delivery.error = now, ""
    _store(delivery, Status.SENT)
    return True


def _store(delivery: AlertDelivery, status: str) -> None:
    delivery.status = status
    delivery.save(update_fields=["status", "sent_at", "error"])


def _alert(delivery: AlertDelivery, now: datetime) -> Alert | None:
    """Returns the content of the alert, or None if it is of no use any more."""
    group: Group | None = groups_at(now).filter(pk=delivery.group_id).first()
    if not events.is_current(delivery, group):
        return None
    if group is None:
        more = f"{delivery.groups} more group{'' if delivery.groups == 1 else 's'}"
        return Alert(str(delivery.pk), delivery.event, more, _url_of_list("?state=open"), {})
    return Alert(
        delivery=str(delivery.pk),
        event=delivery.event,
        cause=cause(group.directive, group.blocked),
        url=_url(reverse("admin:csp_group_change", args=[group.pk])),
        group=dict(GroupSerializer(group).data),
    )


def test_of(channel: AlertChannel) -> Alert:
    """Returns the alert that tests a channel."""
    return Alert(str(uuid.uuid4()), "test", f"the channel {channel.name}", _url_of_list(), {})


def _url_of_list(query: str = "") -> str:
    return _url(reverse("admin:csp_group_changelist") + query)


def _url(path: str) -> str:
    return f"{settings.ACCESS_URL.rstrip('/')}{path}"


def send_alert(channel: AlertChannel, alert: Alert) -> None:
    """Sends the alert. Does not use the database.

    Raises: OutgoingError or OSError if the receiver did not accept it.
    """
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
