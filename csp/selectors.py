"""Reads collected reports, groups and rules."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

from django.conf import settings
from django.db.models import Count, F, OuterRef, QuerySet, Subquery, Sum
from django.db.models.functions import TruncDate

from csp.models import REPORTS, Group, HourCount, NoiseRule, Report

HOUR = timedelta(hours=1)


def expired_partitions(now: datetime) -> list[str]:
    """Returns the partitions that pruning would drop now."""
    if not settings.CSP_RETENTION:
        return []
    return REPORTS.older_than(now - settings.CSP_RETENTION)


def visible_groups() -> QuerySet[Group]:
    """Returns the groups with reports that no enabled noise rule hides, farthest reach first."""
    return Group.objects.filter(count__gt=F("noise_count"))


def hourly_counts(group: Group, *, now: datetime, hours: int) -> list[tuple[datetime, int]]:
    """Returns each of the last hours, oldest first, with its number of reports, noise included."""
    this = now.replace(minute=0, second=0, microsecond=0)
    first = this - (hours - 1) * HOUR
    counted = dict(
        HourCount.objects.filter(group=group, hour__gte=first)
        .values_list("hour")
        .annotate(total=Sum("count"))
    )
    return [(first + n * HOUR, counted.get(first + n * HOUR, 0)) for n in range(hours)]


def breakdown(group: Group, field: str, *, most: int = 10) -> list[tuple[str, int]]:
    """Returns the values of `field` that most of the group's kept reports have, and how many."""
    rows = group.reports.values_list(field).annotate(n=Count("*")).order_by("-n", field)
    return [(value or "(not said)", count) for value, count in rows[:most]]


def newest_reports(group: Group, *, most: int = 20) -> QuerySet[Report]:
    """Returns the newest of the group's kept reports."""
    return group.reports.all()[:most]


def rules_with_hits(rules: QuerySet[NoiseRule], *, now: datetime) -> QuerySet[NoiseRule]:
    """Adds `week_hits` to rules: how many reports of seven days each has marked, or None."""
    hours = HourCount.objects.filter(rule_id=OuterRef("pk"), hour__gt=now - timedelta(days=7))
    counted = hours.order_by().values("rule_id").annotate(hits=Sum("count")).values("hits")
    return rules.annotate(week_hits=Subquery(counted))


def daily_hits(rule: NoiseRule, *, now: datetime, days: int) -> list[tuple[date, int]]:
    """Returns the last days with reports that the rule has marked, newest first, with how many."""
    first = now.replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=days - 1)
    counted = (
        HourCount.objects.filter(rule_id=rule.pk, hour__gte=first)
        .values_list(TruncDate("hour", tzinfo=UTC))
        .annotate(hits=Sum("count"))
    )
    return sorted(counted, reverse=True)


def examples(rule: NoiseRule, *, most: int = 5) -> QuerySet[Report]:
    """Returns the newest reports that the rule has marked."""
    return Report.objects.filter(rule_id=rule.pk)[:most]
