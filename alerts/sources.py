"""Sources of alerts. An app registers its sources in its module `alerts`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar

from django.utils.module_loading import autodiscover_modules

if TYPE_CHECKING:
    from alerts.kinds import Severity
    from alerts.models import Alert, Channel


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that operators want to know. `title` is the rest of the subject, after the word.

    `kind` and `subject_key` identify what the event is about, and `occurred_at` identifies the
    event: it must not change later. Without `occurred_at`, the event is a state that lasts as long
    as the source returns it.
    Without `severity`, the kind's severity applies. Events with a higher `weight` are listed first.
    """

    kind: str
    subject_key: str
    title: str
    occurred_at: datetime | None = None
    site: str = ""
    severity: Severity | None = None
    weight: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Details:
    """The content of a message about one alert.

    `title` replaces the event's `title`, if it is not empty. `facts` are lines of a name and a
    value. `links` are texts and paths of this service; the first one is the most important. `group`
    is the violation group, as the API returns it. `data` is the member `data.details` of a webhook.
    docs/alerts.md describes it for each kind.
    """

    title: str = ""
    facts: Sequence[tuple[str, str]] = ()
    links: Sequence[tuple[str, str]] = ()
    group: dict[str, Any] | None = None
    data: dict[str, Any] = field(default_factory=dict)


class Source(ABC):
    """A source of events of some kinds."""

    kinds: ClassVar[tuple[str, ...]]

    @abstractmethod
    def due(self, channel: Channel, now: datetime) -> Iterable[Event]:
        """Returns the events that the channel should know. May repeat known events."""

    def still_due(self, alerts: Sequence[Alert], now: datetime) -> Iterable[Alert]:
        """Returns the recorded alerts that are still of use. The others are dropped."""
        return alerts

    def remembered(self, alerts: Sequence[Alert]) -> Iterable[Alert]:
        """Returns the old alerts whose events `due` may return again. Their rows are kept."""
        return ()

    @abstractmethod
    def details(self, alert: Alert, now: datetime) -> Details:
        """Returns the content of a message about the alert."""


_sources: list[Source] = []


def register(source: type[Source]) -> type[Source]:
    """Registers a source."""
    _sources.append(source())
    return source


@cache
def all_sources() -> Sequence[Source]:
    """Imports the modules `alerts` of all apps. Returns their sources."""
    autodiscover_modules("alerts")
    return _sources


def source_of(kind: str) -> Source:
    """Returns the source of this kind. Raises: LookupError."""
    for source in all_sources():
        if kind in source.kinds:
            return source
    raise LookupError(kind)
