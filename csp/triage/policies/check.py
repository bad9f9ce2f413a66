"""Checks the pages of an ingest key: the headers they need, and whether their reports arrive."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Sum

from csp.access.page_headers import PageHeaders, headers_by_origin, version_note
from csp.models import GroupHour, IngestKey, Rejection, Report
from csp.triage.sites import sites_of_groups
from csp.writing.sites import sites_of

MAX_ROWS = 20


@dataclass(frozen=True, slots=True)
class SiteCheck:
    """`accepted` and `rejected` count today (UTC). `newest` is the newest report, or None.

    `sites` are those that have reported, and `note` is about the version in the URL.
    """

    headers: Sequence[PageHeaders]
    sites: Sequence[str]
    note: str
    newest: Any
    accepted: int
    rejected: Sequence[Rejection]

    @property
    def is_waiting(self) -> bool:
        """Returns whether the page should be loaded again until something arrives."""
        return self.newest is None and not self.rejected


def site_check(key: IngestKey, *, now: datetime) -> SiteCheck:
    """Returns the state of the key's sites. Takes three queries."""
    sites = sites_of(key.origins)
    today = now.replace(hour=0, minute=0, second=0, microsecond=0)
    reports = Report.objects.filter(group__site__in=sites, received_at__gte=key.created_at)
    counted = GroupHour.objects.filter(group__site__in=sites, hour__gte=today)
    rejected = Rejection.objects.filter(day=now.date())
    mine = rejected.filter(ingest_key=key.name) | rejected.filter(origin__in=sites)
    return SiteCheck(
        headers=list(headers_by_origin(key.value, key.origins)),
        sites=[site for site in sites_of_groups() if site in sites],
        note=version_note(key.value),
        newest=reports.select_related("group").order_by("-received_at", "-id").first(),
        accepted=counted.aggregate(sum=Sum("reports"))["sum"] or 0,
        # The most frequent first, because a visitor can invent origins.
        rejected=list(mine.order_by("-requests", "-last_seen")[:MAX_ROWS]),
    )
