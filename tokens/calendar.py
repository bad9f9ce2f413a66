"""Which tokens end on which day."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from django.contrib.postgres.aggregates import ArrayAgg
from django.db.models import Count
from django.db.models.functions import TruncDate

from tokens.models import APIKey

SPAN_DAYS = 90


@dataclass(frozen=True, slots=True)
class Day:
    """A day, UTC, on which tokens end."""

    date: dt.date
    count: int
    owners: list[str]

    @property
    def next(self) -> dt.date:
        return self.date + dt.timedelta(days=1)


def expiry_days(*, now: dt.datetime) -> list[Day]:
    """The days of the next three months on which live tokens end, by one query."""
    rows = (
        APIKey.objects.tokens()
        .live(now)
        .filter(expires_at__lt=now + dt.timedelta(days=SPAN_DAYS))
        .order_by()
        .values(day=TruncDate("expires_at", tzinfo=dt.UTC))
        .annotate(count=Count("pk"), owners=ArrayAgg("user__username", distinct=True))
        .order_by("day")
    )
    return [Day(row["day"], row["count"], row["owners"]) for row in rows]
