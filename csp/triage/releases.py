"""Compares the groups before and after a moment, such as a release or a configuration change."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import ceil

from django.db.models import Q, Sum

from csp.models import Group, Report

EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
# Before and after the moment, the same span is compared, up to this length.
MAX_SPAN = timedelta(days=7)
MAX_GROUPS = 100
MAX_VERSIONS = 20
MAX_REPORTS = 20_000


@dataclass(frozen=True, slots=True)
class Comparison:
    """A group with its reports per hour before and after the moment."""

    group: Group
    before: float
    after: float


@dataclass(frozen=True, slots=True)
class Comparisons:
    """The groups that are new or gone since the moment. `hours` is the span on each side."""

    hours: int
    new: list[Comparison]
    gone: list[Comparison]


def versions() -> list[tuple[str, datetime]]:
    """Returns the Coder versions of the newest reports, each with the time of its first report."""
    newest = Report.objects.exclude(coder_version="").values("coder_version", "received_at")
    first: dict[str, datetime] = {}
    for row in newest[:MAX_REPORTS]:
        first[row["coder_version"]] = row["received_at"]
    return sorted(first.items(), key=lambda item: item[1], reverse=True)[:MAX_VERSIONS]


def compare(moment: datetime, *, now: datetime) -> Comparisons:
    """Returns the visible groups that have reports only before or only after the moment.

    Reports are counted by hour, so the hour of the moment belongs to the time after it.
    """
    hour = moment.replace(minute=0, second=0, microsecond=0)
    # The current hour counts, too, so that the newest groups are listed.
    hours = ceil(min(now - hour, MAX_SPAN) / timedelta(hours=1))
    span = timedelta(hours=hours)
    after = Q(hourcount__hour__gte=hour, hourcount__hour__lt=hour + span)
    before = Q(hourcount__hour__lt=hour, hourcount__hour__gte=hour - span)
    groups = (
        Group.objects.visible()
        .filter(hourcount__hour__gte=hour - span, hourcount__hour__lt=hour + span)
        .annotate(
            before=Sum("hourcount__count", filter=before, default=0),
            after=Sum("hourcount__count", filter=after, default=0),
        )
    )
    return Comparisons(
        hours,
        new=_compared(groups.filter(first_seen__gte=hour).order_by("-after")[:MAX_GROUPS], hours),
        gone=_compared(
            groups.filter(last_seen__lt=hour, before__gt=0).order_by("-before")[:MAX_GROUPS], hours
        ),
    )


def _compared(groups: object, hours: int) -> list[Comparison]:
    return [
        Comparison(group, group.before / hours, group.after / hours)
        for group in groups  # type: ignore[attr-defined]
    ]
