"""Sends alerts. The job `send_alerts` does so every 15 seconds.

A delivery is written as a row before it is sent. So a restart neither loses an alert nor sends it
again. If the process is killed while it waits for the response of the other server, it is unknown
whether the alert arrived. Then it is sent again with the same id.
"""

from __future__ import annotations

import logging
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

from alerts.kinds import KINDS, Severity
from alerts.messages import DIGEST, TEST, Message, digest_subject, request_of, signed_headers
from alerts.models import Alert, Channel, Delivery
from alerts.recording import (
    compose,
    drop_outdated,
    forget_old,
    is_quiet,
    pending,
    record_due,
)
from alerts.sources import source_of
from kernel.outgoing import Outgoing, OutgoingError, send

logger = logging.getLogger(__name__)
Status = Delivery.Status
# The time from each failed attempt to the next one. The delivery has failed when the attempt after
# the last time fails.
BACKOFF = [timedelta(minutes=minutes) for minutes in (1, 5, 30, 120, 720)]
SEND_SECONDS = 10.0
# The number of channels whose alerts are sent at the same time.
MAX_SENDING = 8
# After this time, a run of the job starts no further delivery.
RUN_SECONDS = 30.0
# A message lists this number of alerts, and states how many more there are.
MAX_LISTED = 20
MAX_ERROR = 512


def send_alerts(now: datetime) -> int:
    """Records due alerts. Sends those that may be sent now, and returns the number of messages."""
    with ThreadPoolExecutor(MAX_SENDING, thread_name_prefix="alerts") as pool:
        run = _Run(pool, now)
        for channel in Channel.objects.filter(is_enabled=True):
            run.begin(channel)
        run.wait()
    forget_old(now)
    return run.sent


class _Run:
    """Sends the messages of all channels side by side, and those of each channel one by one.

    A receiver that responds slowly delays only its own channel. An error also affects only its own
    channel, which shows it and gets no further message in this run. Each result is stored at once.
    Only this thread uses the database.
    """

    def __init__(self, pool: ThreadPoolExecutor, now: datetime) -> None:
        self.sent = 0
        self._pool = pool
        self._now = now
        self._begun = time.monotonic()
        self._running: dict[Future[None], tuple[Delivery, Iterable[uuid.UUID]]] = {}

    def begin(self, channel: Channel) -> None:
        """Records the alerts of the channel, and starts to send the first message."""
        try:
            record_due(channel, now=self._now)
            if not is_quiet(channel, self._now):
                compose(channel, now=self._now)
                self._start(channel, iter(pending(channel, now=self._now)))
        except Exception as error:
            logger.exception("The alerts of the channel %s cannot be composed", channel)
            channel.note_failure(_reason(error), now=self._now)

    def _start(self, channel: Channel, keys: Iterable[uuid.UUID]) -> None:
        """Starts to send the first delivery that is still of use."""
        for key in keys:
            if self._elapsed() > timedelta(seconds=RUN_SECONDS):
                return
            delivery = _claim(key, self._now + self._elapsed())
            if delivery is None:
                continue
            delivery.channel = channel
            try:
                message = message_of(delivery, self._now)
            except Exception as error:
                logger.exception("The delivery %s cannot be composed", key)
                self._fail(delivery, error)
                return
            if message is None:
                _store(delivery, Status.DROPPED)
                continue
            delivery.subject = message.title
            self._running[self._pool.submit(send_message, channel, message)] = delivery, keys
            return

    def wait(self) -> None:
        """Waits until all started deliveries have ended. Starts the next one of each channel."""
        while self._running:
            for sending in wait(self._running, return_when=FIRST_COMPLETED).done:
                delivery, keys = self._running.pop(sending)
                if error := sending.exception():
                    self._fail(delivery, error)
                    continue
                delivery.sent_at, delivery.error = self._now + self._elapsed(), ""
                _store(delivery, Status.SENT)
                delivery.channel.note_success(now=delivery.sent_at)
                self.sent += 1
                self._start(delivery.channel, keys)

    def _fail(self, delivery: Delivery, error: BaseException) -> None:
        """Stores an error as the result of this attempt."""
        delivery.error = _reason(error)
        delivery.channel.note_failure(delivery.error, now=self._now + self._elapsed())
        has_failed = delivery.attempts > len(BACKOFF)
        _store(delivery, Status.FAILED if has_failed else Status.PENDING)

    def _elapsed(self) -> timedelta:
        return timedelta(seconds=time.monotonic() - self._begun)


def _reason(error: BaseException) -> str:
    """Returns the reason for an operator. The text of an unexpected error is only in the log."""
    if isinstance(error, OutgoingError):
        return str(error)[:MAX_ERROR]
    return f"The message cannot be composed ({type(error).__name__}). See the log of the worker."


def _claim(key: uuid.UUID, now: datetime) -> Delivery | None:
    """Counts an attempt. Returns None if another worker has claimed the delivery."""
    with transaction.atomic():
        waiting = Delivery.objects.filter(pk=key, status=Status.PENDING, due_at__lte=now)
        delivery = waiting.select_for_update(skip_locked=True, of=("self",)).first()
        if delivery is not None:
            # Another worker takes the delivery only after this time, so it is sent once.
            delivery.attempts += 1
            delivery.due_at = now + BACKOFF[min(delivery.attempts, len(BACKOFF)) - 1]
            delivery.save(update_fields=["attempts", "due_at"])
    return delivery


def _store(delivery: Delivery, status: str) -> None:
    with transaction.atomic():
        delivery.status = status
        delivery.save(update_fields=["subject", "status", "sent_at", "error"])
        delivery.alerts.filter(status=Alert.Status.PENDING).update(status=status)


# --- Content ----------------------------------------------------------------------------------


def message_of(delivery: Delivery, now: datetime) -> Message | None:
    """Returns the content of the delivery, or None if none of its alerts is of use any more."""
    alerts = drop_outdated(delivery.alerts.filter(status=Alert.Status.PENDING), now)
    if len(alerts) == 1:
        return _about_one(delivery, alerts[0], now)
    return _about_many(delivery, alerts, now) if alerts else None


def _about_one(delivery: Delivery, alert: Alert, now: datetime) -> Message:
    details = source_of(alert.kind).details(alert, now)
    return Message(
        id=str(delivery.pk),
        type=alert.kind,
        subject=f"{KINDS[alert.kind].word}: {details.title or alert.title}",
        severity=Severity(alert.severity),
        at=now,
        facts=details.facts,
        links=[(text, _url(path)) for text, path in details.links],
        data={**_data(alert), "group": details.group, "details": details.data},
    )


def _about_many(delivery: Delivery, alerts: list[Alert], now: datetime) -> Message:
    words = [KINDS[alert.kind].word for alert in alerts]
    more = len(alerts) - MAX_LISTED
    lines = [f"{alert}" for alert in alerts[:MAX_LISTED]]
    if more > 0:
        lines.append(f"and {more:,} more")
    return Message(
        id=str(delivery.pk),
        type=DIGEST,
        subject=digest_subject(words),
        severity=Severity(max(alert.severity for alert in alerts)),
        at=now,
        lines=lines,
        links=[
            ("Open these alerts", _url(reverse("admin:alerts_delivery_change", args=[delivery.pk])))
        ],
        data={
            "alerts": [_listed(alert) for alert in alerts[:MAX_LISTED]],
            "further_alerts": max(more, 0),
        },
    )


def _listed(alert: Alert) -> dict[str, object]:
    return {"type": alert.kind, "severity": Severity(alert.severity).label, **_data(alert)}


def _data(alert: Alert) -> dict[str, object]:
    """Returns the members that a webhook has for each alert."""
    return {
        "title": alert.title,
        "subject_key": alert.subject_key,
        "occurred_at": alert.occurred_at,
        "site": alert.site or None,
    }


def _url(path: str) -> str:
    return f"{settings.ACCESS_URL.rstrip('/')}{path}"


def test_message(channel: Channel, now: datetime) -> Message:
    """Returns the message that tests a channel."""
    return Message(
        id=str(uuid.uuid4()),
        type=TEST,
        subject=f"test of the channel {channel.name}",
        severity=Severity.LOW,
        at=now,
        lines=["This is a test. The channel works."],
        links=[("Open the channel", _url(reverse("admin:alerts_channel_changelist")))],
    )


def send_message(channel: Channel, message: Message) -> None:
    """Sends the message. Raises: OutgoingError if the receiver did not accept it."""
    if channel.type == Channel.Type.EMAIL:
        _send_mail(channel.address, message)
        return
    url, body = request_of(channel.type, channel.address, message)
    headers = signed_headers(body, secret=channel.secret, delivery=message.id, at=int(time.time()))
    networks = [ip_network(text) for text in settings.WEBHOOK_INTERNAL_NETWORKS]
    request = Outgoing(url, headers, method="POST", body=body, networks=networks, may_leave=True)
    reply = send(request, seconds=SEND_SECONDS)
    if not 200 <= reply.status < 300:
        raise OutgoingError(f"The server returned status {reply.status}")


def _send_mail(address: str, message: Message) -> None:
    if not settings.MAILERS:
        raise OutgoingError("The mail server is not configured. Set CODER_EMAIL_SMARTHOST.")
    try:
        EmailMessage(message.title, message.text, to=[address]).send()
    except (OSError, ValueError, MessageError) as error:
        raise OutgoingError(f"The message cannot be sent: {error}") from None
