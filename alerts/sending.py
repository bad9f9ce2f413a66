"""Sends alerts. The job `send_alerts` does so every 15 seconds.

A delivery is written as a row before it is sent. So a restart neither loses an alert nor sends it
again. If the process is killed while it waits for the response of the other server, it is unknown
whether the alert arrived. Then it is sent again with the same id.
"""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Callable, Generator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from datetime import datetime, timedelta
from email.errors import MessageError
from ipaddress import ip_network

from django.conf import settings
from django.core.mail import EmailMessage
from django.db import transaction
from django.urls import reverse

from alerts import weekly
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
    row_of,
)
from alerts.sources import source_of
from kernel.outgoing import Outgoing, OutgoingError, send
from kernel.text.hosts import ascii_address

logger = logging.getLogger(__name__)
Status = Delivery.Status
# The time from each failed attempt to the next one. The delivery has failed when the attempt after
# the last time fails.
BACKOFF = [timedelta(minutes=minutes) for minutes in (1, 5, 30, 120, 720)]
SEND_SECONDS = 10.0
# The number of channels whose alerts are sent at the same time.
MAX_SENDING = 8
# After this time, a run of the job starts no further delivery.
MAX_RUN = timedelta(seconds=30)
# A message lists this number of alerts, and states how many more there are.
MAX_LISTED = 20
MAX_ERROR = 512


# Yields a channel's messages. Receives the error of each, or None.
type Messages = Generator[tuple[Channel, Message], BaseException | None]


def send_alerts(now: datetime) -> int:
    """Records due alerts. Sends those that may be sent now, and returns the number of messages.

    Sends the messages of all channels side by side, and those of each channel one by one. So a
    receiver that responds slowly delays only its own channel. Only this thread uses the database.
    """
    begun, sent = time.monotonic(), 0
    running: dict[Future[None], Messages] = {}

    def clock() -> datetime:
        return now + timedelta(seconds=time.monotonic() - begun)

    def go_on(messages: Messages, error: BaseException | None = None) -> None:
        with suppress(StopIteration):
            running[pool.submit(send_message, *messages.send(error))] = messages

    with ThreadPoolExecutor(MAX_SENDING, thread_name_prefix="alerts") as pool:
        for channel in Channel.objects.filter(is_enabled=True):
            go_on(_messages(channel, now, clock))
        while running:
            for sending in wait(running, return_when=FIRST_COMPLETED).done:
                error = sending.exception()
                sent += error is None
                go_on(running.pop(sending), error)
    forget_old(now)
    return sent


def _messages(channel: Channel, now: datetime, clock: Callable[[], datetime]) -> Messages:
    """Records the alerts of the channel, yields its messages, and stores each result at once.

    An error affects only this channel, which shows it and gets no further message in this run.
    """
    delivery = None
    try:
        for key in _due(channel, now):
            delivery = None
            if clock() > now + MAX_RUN:
                return
            delivery = _claim(key, clock())
            message = message_of(delivery, now) if delivery else None
            if delivery is None or message is None:
                continue
            if error := (yield channel, message):
                raise error
            delivery.sent_at, delivery.error = clock(), ""
            _store(delivery, Status.SENT)
            # If noting the success fails, the delivery stays sent.
            delivery = None
            channel.note_success(now=clock())
    except OutgoingError as error:
        _fail(channel, delivery, error, now=clock())
    except Exception as error:
        logger.exception("The alerts of the channel %s cannot be sent", channel)
        _fail(channel, delivery, error, now=clock())


def _due(channel: Channel, now: datetime) -> list[uuid.UUID]:
    record_due(channel, now=now)
    if is_quiet(channel, now):
        return []
    compose(channel, now=now)
    return pending(channel, now=now)


def _fail(channel: Channel, delivery: Delivery | None, error: Exception, *, now: datetime) -> None:
    """Stores an error as the result of this attempt."""
    channel.note_failure(_reason(error), now=now)
    if delivery is not None:
        delivery.error = _reason(error)
        has_failed = delivery.attempts > len(BACKOFF)
        _store(delivery, Status.FAILED if has_failed else Status.PENDING)


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
    """Composes the message of the delivery. Drops it if none of its alerts is of use any more."""
    alerts = drop_outdated(delivery.alerts.filter(status=Alert.Status.PENDING), now)
    if not alerts:
        _store(delivery, Status.DROPPED)
        return None
    one = len(alerts) == 1
    message = _about_one(delivery, alerts[0], now) if one else _about_many(delivery, alerts, now)
    delivery.subject = message.title
    return message


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


def digest_message(now: datetime) -> Message:
    """Returns the weekly digest as a channel gets it, for the week that ends now."""
    return _about_one(Delivery(), row_of(Channel(), weekly.event(now), now), now)


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
        EmailMessage(message.title, message.text, to=[ascii_address(address)]).send()
    except (OSError, ValueError, MessageError) as error:
        raise OutgoingError(f"The message cannot be sent: {error}") from None
