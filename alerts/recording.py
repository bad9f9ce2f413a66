"""Records which events are due: one row for each event and channel."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta

from alerts.kinds import KINDS
from alerts.models import Alert, Channel, Delivery
from alerts.sources import Event, Source, all_sources, source_of

logger = logging.getLogger(__name__)
Status = Alert.Status
KEPT = timedelta(days=90)
BATCH = 1_000


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
        _row(channel, event, now, status)
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


def _row(channel: Channel, event: Event, now: datetime, status: str) -> Alert:
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
        yield
    except Exception:
        logger.exception("The alerts %s cannot be computed", ", ".join(kinds))
