"""The weekly digest: what has happened in a week, without anything about single users.

An app registers its section in its module `alerts`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, time, timedelta

from django.urls import reverse

from alerts.kinds import WEEKLY_DIGEST
from alerts.models import Alert, Channel
from alerts.sources import Details, Event, Source, all_sources, register

WEEK = timedelta(days=7)
# Monday at this time (UTC).
HOUR = 7
# After this time, a missed digest is not sent any more.
LATEST = timedelta(days=2)

# Returns the lines of a section for the time from `since` to `until`: a name and a value each.
type Lines = Callable[[datetime, datetime], Iterable[tuple[str, str]]]


_sections: dict[str, Lines] = {}


def register_section(title: str, lines: Lines) -> None:
    """Registers a section. It is left out if it has no lines."""
    _sections[title] = lines


def digest(until: datetime) -> list[tuple[str, str]]:
    """Returns the lines of the digest for the week that ends at `until`."""
    all_sources()  # Imports the modules with the sections, too.
    return [
        (f"{title}: {name}", value)
        for title, lines in sorted(_sections.items())
        for name, value in lines(until - WEEK, until)
    ]


def newest_end(now: datetime) -> datetime:
    """Returns the end of the newest week whose digest is due: the last Monday at 07:00 UTC."""
    monday = datetime.combine(now.date(), time(HOUR), tzinfo=now.tzinfo)
    monday -= timedelta(days=monday.weekday())
    return monday if monday <= now else monday - WEEK


def event(until: datetime) -> Event:
    """Returns the digest for the week that ends at `until`, as an event."""
    what, key = f"{until - WEEK:%Y-%m-%d} to {until:%Y-%m-%d}", f"{until:%Y-%m-%d}"
    return Event(kind=WEEKLY_DIGEST, subject_key=key, title=what, occurred_at=until)


@register
class DigestSource(Source):
    kinds = (WEEKLY_DIGEST,)

    def due(self, channel: Channel, now: datetime) -> Sequence[Event]:
        until = newest_end(now)
        return [event(until)] if now - until <= LATEST else []

    def details(self, alert: Alert, now: datetime) -> Details:
        facts = digest(alert.occurred_at)
        data = {"figures": [{"name": name, "value": value} for name, value in facts]}
        return Details(facts=facts, links=[("Open the admin", reverse("admin:index"))], data=data)
