"""Records which events are due, and decides which messages to make of them.

An event has one row for each channel. A few alerts are a message each. If there are more, or the
limit of the hour is nearly reached, one message lists all of them, at most one such message in a
minute. So a storm of alerts is a few messages, and no alert is lost.
"""

from __future__ import annotations

import logging
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, time, timedelta

from django.db import transaction

from alerts.kinds import KINDS
from alerts.models import Alert, Channel, Delivery
from alerts.sources import Event, Source, all_sources, source_of

logger = logging.getLogger(__name__)
Status = Alert.Status
KEPT = timedelta(days=90)
BATCH = 1_000
# Up to this number of alerts, each alert is a message of its own.
MAX_SINGLE = 3
_HOUR, _MINUTE = timedelta(hours=1), timedelta(minutes=1)


def record_due(channel: Channel, *, now: datetime, status: str = Status.PENDING) -> None:
    """Writes the rows that are missing. An error of one source does not affect the others."""
    for source in all_sources():
        kinds = [kind for kind in source.kinds if channel.chooses(kind)]
        if not kinds:
            continue
        with _isolated(kinds):
            _record(channel, kinds, list(source.due(channel, now)), now=now, status=status)


def _record(
    channel: Channel, kinds: Sequence[str], events: Iterable[Event], *, now: datetime, status: str
) -> None:
    wanted = [event for event in events if event.kind in kinds and _wants(channel, event)]
    states = {(event.kind, event.subject_key) for event in wanted if event.occurred_at is None}
    known = _end_states(channel, kinds, states, now)
    rows = [
        row_of(channel, event, now, status)
        for event in wanted
        if event.occurred_at is not None or (event.kind, event.subject_key) not in known
    ]
    Alert.objects.bulk_create(rows, ignore_conflicts=True, batch_size=BATCH)


def _wants(channel: Channel, event: Event) -> bool:
    severity = event.severity or KINDS[event.kind].severity
    return channel.wants(event.kind, severity=severity, site=event.site)


def _end_states(
    channel: Channel, kinds: Sequence[str], states: set[tuple[str, str]], now: datetime
) -> set[tuple[str, str]]:
    """Ends the alerts about states that are over. Returns the states that are recorded already."""
    lasting = channel.alerts.filter(kind__in=kinds, is_lasting=True, ended_at=None)
    found = {(kind, key): pk for pk, kind, key in lasting.values_list("pk", "kind", "subject_key")}
    over = [pk for state, pk in found.items() if state not in states]
    if over:
        ended = Alert.objects.filter(pk__in=over)
        ended.filter(status=Status.PENDING).update(status=Status.DROPPED)
        ended.update(ended_at=now)
    return states & set(found)


def row_of(channel: Channel, event: Event, now: datetime, status: str = Status.PENDING) -> Alert:
    """Returns the row of an event, which is not stored."""
    return Alert(
        channel=channel,
        kind=event.kind,
        subject_key=event.subject_key,
        occurred_at=event.occurred_at or now,
        is_lasting=event.occurred_at is None,
        severity=event.severity or KINDS[event.kind].severity,
        site=event.site,
        title=event.title[:255],
        weight=event.weight,
        status=status,
        created_at=now,
    )


def drop_outdated(alerts: Iterable[Alert], now: datetime) -> list[Alert]:
    """Returns the alerts that are still of use, in the same order. Drops the others."""
    ordered = list(alerts)
    due = _kept(ordered, lambda source, rows: source.still_due(rows, now))
    outdated = [alert.pk for alert in ordered if alert.pk not in due]
    if outdated:
        Alert.objects.filter(pk__in=outdated).update(status=Status.DROPPED, delivery=None)
    return [alert for alert in ordered if alert.pk in due]


def forget_old(now: datetime) -> None:
    """Deletes old alerts and deliveries.

    An alert is kept as long as its source may return the event again: it prevents a second alert.
    """
    old = Alert.objects.filter(created_at__lt=now - KEPT).exclude(status=Status.PENDING)
    rows = list(old.exclude(is_lasting=True, ended_at=None))
    kept = _kept(rows, lambda source, found: source.remembered(found))
    Alert.objects.filter(pk__in=[row.pk for row in rows if row.pk not in kept]).delete()
    deliveries = Delivery.objects.filter(created_at__lt=now - KEPT)
    deliveries.exclude(status=Delivery.Status.PENDING).delete()


def _kept(
    alerts: Iterable[Alert], ask: Callable[[Source, list[Alert]], Iterable[Alert]]
) -> set[int]:
    """Returns the keys of the alerts that their sources keep: all, if a source raises an error."""
    of_kind: dict[str, list[Alert]] = defaultdict(list)
    for alert in alerts:
        of_kind[alert.kind].append(alert)
    kept: set[int] = set()
    for kind, rows in of_kind.items():
        found: Iterable[Alert] = rows
        with _isolated([kind]):
            found = list(ask(source_of(kind), rows))
        kept.update(alert.pk for alert in found)
    return kept


@contextmanager
def _isolated(kinds: Iterable[str]) -> Iterator[None]:
    """Logs an error of one source, so that it does not affect the others."""
    try:
        # Without a savepoint, an error of the database would end the caller's transaction.
        with transaction.atomic():
            yield
    except Exception:
        logger.exception("The alerts %s cannot be computed", ", ".join(kinds))


# --- Messages ---------------------------------------------------------------------------------


def compose(channel: Channel, *, now: datetime) -> None:
    """Makes deliveries of the channel's waiting alerts."""
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
    due = channel.deliveries.filter(status=Delivery.Status.PENDING, due_at__lte=now)
    return list(due.order_by("due_at", "created_at").values_list("pk", flat=True))


def is_quiet(channel: Channel, now: datetime) -> bool:
    """Returns whether it is within the channel's quiet hours, which may include midnight."""
    start, end = channel.quiet_from, channel.quiet_until
    if start is None or end is None or start == end:
        return False
    at: time = now.time()
    return start <= at < end if start < end else at >= start or at < end
