"""Queries reports, groups and noise rules."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

from django.conf import settings
from django.db.models import Count, F, OuterRef, QuerySet, Subquery, Sum
from django.db.models.functions import TruncDate

from csp.models import REPORTS, Group, HourCount, NoiseRule, Report

HOUR = timedelta(hours=1)


def expired_partitions(now: datetime) -> list[str]:
    """Returns the names of the partitions that pruning would drop now."""
    if not settings.CSP_RETENTION:
        return []
    return REPORTS.older_than(now - settings.CSP_RETENTION)


def visible_groups() -> QuerySet[Group]:
    """Returns the groups with at least one visible report, most clients first.

    A report is visible if no enabled noise rule hides it.
    """
    return Group.objects.filter(count__gt=F("noise_count"))


def hourly_counts(group: Group, *, now: datetime, hours: int) -> list[tuple[datetime, int]]:
    """Returns the last `hours` hours, oldest first, each with its number of reports.

    The numbers include noise.
    """
    this = now.replace(minute=0, second=0, microsecond=0)
    first = this - (hours - 1) * HOUR
    counted = dict(
        HourCount.objects.filter(group=group, hour__gte=first)
        .values_list("hour")
        .annotate(total=Sum("count"))
    )
    return [(first + n * HOUR, counted.get(first + n * HOUR, 0)) for n in range(hours)]


def breakdown(group: Group, field: str, *, limit: int = 10) -> list[tuple[str, int]]:
    """Returns the most frequent values of `field` in the group's stored reports, with counts."""
    rows = group.reports.values_list(field).annotate(n=Count("*")).order_by("-n", field)
    return [(value or "(unknown)", count) for value, count in rows[:limit]]


def newest_reports(group: Group, *, limit: int = 20) -> QuerySet[Report]:
    """Returns the newest of the group's stored reports."""
    return group.reports.all()[:limit]


def rules_with_hits(rules: QuerySet[NoiseRule], *, now: datetime) -> QuerySet[NoiseRule]:
    """Annotates each rule with `week_hits`: the reports that it marked in the last 7 days."""
    hours = HourCount.objects.filter(rule_id=OuterRef("pk"), hour__gt=now - timedelta(days=7))
    counted = hours.order_by().values("rule_id").annotate(hits=Sum("count")).values("hits")
    return rules.annotate(week_hits=Subquery(counted))


def daily_hits(rule: NoiseRule, *, now: datetime, days: int) -> list[tuple[date, int]]:
    """Returns the number of reports that the rule marked on each day, newest day first.

    Omits days without such a report.
    """
    first = now.replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=days - 1)
    counted = (
        HourCount.objects.filter(rule_id=rule.pk, hour__gte=first)
        .values_list(TruncDate("hour", tzinfo=UTC))
        .annotate(hits=Sum("count"))
    )
    return sorted(counted, reverse=True)


def examples(rule: NoiseRule, *, limit: int = 5) -> QuerySet[Report]:
    """Returns the newest stored reports that the rule has marked."""
    return Report.objects.filter(rule_id=rule.pk)[:limit]
