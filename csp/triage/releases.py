"""Compares the groups before and after a moment, such as a release or a configuration change."""

from __future__ import annotations

from datetime import datetime, timedelta
from math import ceil

from django.db.models import Q, QuerySet, Sum

from csp.models import Group, Report
from csp.triage.selectors import whole_hour

# Before and after the moment, the same span is compared, up to this length.
MAX_SPAN = timedelta(days=7)
MAX_GROUPS = 100
MAX_VERSIONS = 20
MAX_REPORTS = 20_000


def versions() -> list[tuple[str, datetime]]:
    """Returns the Coder versions of the newest reports, each with the time of its first report."""
    newest = Report.objects.exclude(coder_version="").values("coder_version", "received_at")
    first: dict[str, datetime] = {}
    for row in newest[:MAX_REPORTS]:
        first[row["coder_version"]] = row["received_at"]
    return sorted(first.items(), key=lambda item: item[1], reverse=True)[:MAX_VERSIONS]


def compare(
    moment: datetime, *, now: datetime, site: str = ""
) -> tuple[int, QuerySet[Group], QuerySet[Group]]:
    """Compares the same number of hours before and after the moment; all sites if `site` is "".

    Returns this number, and two lists of visible groups: those without a report before the moment,
    and those without a report after it. Each group has its reports per hour, `before` and `after`.
    Reports are counted by hour, so the hour of the moment belongs to the time after it.
    """
    hour = whole_hour(moment)
    # The current hour counts, too, so that the newest groups are listed.
    hours = ceil(min(now - hour, MAX_SPAN) / timedelta(hours=1))
    span = timedelta(hours=hours)
    after = Q(hourcount__hour__gte=hour, hourcount__hour__lt=hour + span)
    before = Q(hourcount__hour__lt=hour, hourcount__hour__gte=hour - span)
    groups = (
        Group.objects.visible()
        .filter(**({"site": site} if site else {}))
        .filter(hourcount__hour__gte=hour - span, hourcount__hour__lt=hour + span)
        .annotate(
            before=Sum("hourcount__count", filter=before, default=0) / float(hours),
            after=Sum("hourcount__count", filter=after, default=0) / float(hours),
        )
    )
    new = groups.filter(first_seen__gte=hour).order_by("-after")
    gone = groups.filter(last_seen__lt=hour, before__gt=0).order_by("-before")
    return hours, new[:MAX_GROUPS], gone[:MAX_GROUPS]
